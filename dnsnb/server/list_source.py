"""What a list is made from, as a person sets it: checked whole, every wrong value named.

No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dnsnb.dns.listformats import FORMATS, SCOPES
from dnsnb.dns.schedule import Schedule
from dnsnb.errors import SettingError
from dnsnb.server.fetch import check_url

REFRESH_HOURS = 24.0
KEYS = ("name", "kind", "text", "path", "url", "format", "scope", "enabled", "schedule", "refresh_hours")


@dataclass(frozen=True)
class ListSource:
    """What a list is made from: a `path`, a `url` or a text (kept as a copy), how it is read, and when."""

    name: str
    kind: str = "block"
    path: str | None = None
    url: str | None = None
    format: str = "auto"
    scope: str = "as written"
    enabled: bool = True
    schedule: str = ""
    refresh_hours: float = REFRESH_HOURS

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON: the fields of a list's settings."""
        held = {key: getattr(self, key) for key in KEYS if key != "text"}
        return {key: value for key, value in held.items() if value is not None}

    @property
    def word(self) -> str:
        """Where the list comes from: "url", "file" or "text"."""
        return "url" if self.url is not None else "file" if self.path is not None else "text"


def parse_source(settings: Mapping[str, Any]) -> tuple[ListSource, bytes | None]:
    """Return a list's settings, checked, and its text if that is given; raises SettingError naming the culprit."""
    for key in settings:
        if key not in KEYS:
            raise SettingError(f"list.{key}", settings[key], f"not known; there are {', '.join(KEYS)}")
    name = settings.get("name")
    if not isinstance(name, str) or not name.strip():
        raise SettingError("list.name", name, "a list needs a name")
    given = [key for key in ("text", "path", "url") if settings.get(key) is not None]
    if len(given) != 1:
        raise SettingError("list", given, "wants exactly one of text, path and url")
    text = settings.get("text")
    for key in (*given, "kind", "format", "scope", "schedule"):
        if key in settings and not isinstance(settings[key], str | (bytes if key == "text" else str)):
            raise SettingError(f"list.{key}", settings[key], "must be text")
    if settings.get("kind", "block") not in ("block", "allow"):
        raise SettingError("list.kind", settings["kind"], "block or allow")
    if settings.get("format", "auto") not in FORMATS:
        raise SettingError("list.format", settings["format"], f"one of {', '.join(FORMATS)}")
    if settings.get("scope", "as written") not in SCOPES:
        raise SettingError("list.scope", settings["scope"], f"one of {', '.join(SCOPES)}")
    if not isinstance(settings.get("enabled", True), bool):
        raise SettingError("list.enabled", settings["enabled"], "true or false")
    hours = settings.get("refresh_hours", REFRESH_HOURS)
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 <= hours <= 8760:
        raise SettingError("list.refresh_hours", hours, "0 (never) to 8760 hours")
    if settings.get("url") is not None:
        check_url(settings["url"], "list.url")
    if settings.get("schedule"):
        Schedule(settings["schedule"], setting="list.schedule")
    held = {key: settings[key] for key in KEYS if key in settings and key != "text" and settings[key] is not None}
    return ListSource(**held), text.encode() if isinstance(text, str) else text
