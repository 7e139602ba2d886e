"""What somebody gave as lists, as a `Policy`: names, files, texts, several lists by name; and what each was taken for.

Reads files, fetches nothing. Knows dns/policy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dnsnb.dns.listcontent import LoadReport
from dnsnb.dns.lists import RESERVED
from dnsnb.dns.policy import Policy
from dnsnb.errors import SettingError

#: a name or a file; several of them; or several lists by name
Given = str | Path | Iterable[str | Path] | Mapping[str, "str | Path | Iterable[str | Path]"]

_ENDINGS = frozenset({".txt", ".list", ".hosts"})
_TYPED = 10_000  # more names than this become a text, which the tables hold better


def policy_of(blacklist: Given, whitelist: Given, allow_only: bool) -> tuple[Policy, list[dict[str, Any]]]:
    """Return a policy of such lists, and a row for each of what it was taken for.

    An entry is a file when it is a `Path`, holds a separator, ends in .txt, .list or .hosts, or is there as a file; a
    text of several lines is a list's text; anything else is a name, with all below it. Raises SettingError.
    """
    policy = Policy(allow_only=allow_only)
    taken: list[dict[str, Any]] = []
    for setting, kind, given in (("blacklist", "block", blacklist), ("whitelist", "allow", whitelist)):
        if isinstance(given, Mapping):
            for name, content in given.items():
                if name not in policy.lists:
                    policy.create(name, kind)
                elif policy.lists[name].kind != kind or policy.lists[name].count:
                    raise SettingError(f"{setting}[{name!r}]", name, "this name is taken by another list")
                taken += _fill(policy, name, kind, content, f"{setting}[{name!r}]")
        else:
            taken += _fill(policy, setting, kind, given, setting)
    return policy, taken


def lists_of(policy: Policy) -> list[dict[str, Any]]:
    """Return such rows of a policy that was given whole."""
    return [
        _row(policy, name, "part of the given policy", item.content.report if item.content else None)
        for name, item in policy.lists.items()
    ]


def _fill(policy: Policy, name: str, kind: str, given: Any, setting: str) -> list[dict[str, Any]]:
    """Fill a list; of several files each becomes a list of its own, named after it, so that they can be told apart."""
    if isinstance(given, bytes | bytearray | Mapping) or not isinstance(given, str | Path | Iterable):
        raise SettingError(setting, given, "give names, a file, or a mapping of a list's name to those")
    entries = [given] if isinstance(given, str | Path) else list(given)
    names: list[str] = []
    texts: list[tuple[str, bytes]] = []
    for number, entry in enumerate(entries):
        where = setting if isinstance(given, str | Path) else f"{setting}[{number}]"
        if isinstance(entry, str) and "\n" in entry.strip():
            texts.append(("text", entry.encode("utf-8", "surrogateescape")))
        elif (path := _file(entry, where)) is not None:
            texts.append((path.name, _read(path, where)))
        else:
            names.append(str(entry))
    rows = []
    for what, text in texts:
        own = name if len(entries) == 1 else _free(policy, name if what == "text" else Path(what).stem)
        report = policy.load(own, text, kind).report
        said = "a text" if what == "text" else f"the file {what}"
        rows.append(_row(policy, own, f"{said}, format {report.format}", report))
    if names or not texts:
        typed: LoadReport | None = None
        if len(names) > _TYPED:
            typed = policy.load(name, "\n".join(names), kind, format="domains").report
        else:
            policy.edit(name, add=names)
        rows.insert(0, _row(policy, name, f"{len(names):,} name{'s' * (len(names) != 1)}", typed))
    return rows


def _row(policy: Policy, name: str, taken_as: str, report: LoadReport | None) -> dict[str, Any]:
    item = policy.list(name)
    skipped = sum(report.skipped.values()) if report is not None else 0
    return {"list": name, "kind": item.kind, "taken_as": taken_as, "rules": item.count, "skipped": skipped}


def _free(policy: Policy, wanted: str) -> str:
    """Return the name, or one made of it that no list has."""
    wanted = "".join(c for c in wanted if c.isprintable() and c != "/")[:90].strip() or "list"
    number = 1
    name = wanted
    while name in policy.lists or name in RESERVED:
        number += 1
        name = f"{wanted} {number}"
    return name


def _file(entry: Any, where: str) -> Path | None:
    """Return the file that an entry is, None when it is a name."""
    if not isinstance(entry, str | Path):
        raise SettingError(where, entry, "must be a name such as 'ads.example.com', or a file")
    if isinstance(entry, str) and "://" in entry:
        raise SettingError(
            where, entry, "taken as a URL, and nothing is fetched here; give the file that it was saved as, or a name"
        )
    path = Path(entry).expanduser()
    if isinstance(entry, Path):
        return path
    try:
        there = path.is_file()
    except OSError:
        there = False
    return path if os.sep in entry or path.suffix.lower() in _ENDINGS or there else None


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        why = f"taken as a file, which can't be read ({error.strerror}); give one that can, or a name"
        raise SettingError(where, str(path), why) from None
