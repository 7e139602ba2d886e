"""When a list holds: windows of the week in local wall time, such as "22:00-06:00 weekdays".

No I/O and no clock: times are passed in. A window that ends before it begins runs into the next day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from dnsnb.errors import SettingError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WORDS = {"daily": DAYS, "everyday": DAYS, "weekdays": DAYS[:5], "weekends": DAYS[5:], "weekend": DAYS[5:]}
_TIMES = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")


class Window(NamedTuple):
    """From minute `start` of each day in `days` (0 is Monday) to minute `end`, of the next day if that isn't later."""

    days: frozenset[int]
    start: int
    end: int


class Schedule:
    """Windows of the week. `text` is how it was written; times are those of `zone` (None: the machine's own)."""

    def __init__(self, text: str | Iterable[str], zone: tzinfo | None = None, setting: str = "schedule") -> None:
        parts = text.split(";") if isinstance(text, str) else list(text)
        self.windows = tuple(_window(part, setting) for part in parts if part.strip())
        if not self.windows:
            raise SettingError(setting, text, "empty; write such as '22:00-06:00 weekdays'")
        self.text = "; ".join(part.strip() for part in parts if part.strip())
        self.zone = zone

    def active(self, now: float) -> bool:
        """Whether a window is open at `now` (seconds since the epoch)."""
        local = self._local(now)
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday(), (local.weekday() - 1) % 7
        for window in self.windows:
            if window.start < window.end:
                if today in window.days and window.start <= minute < window.end:
                    return True
            elif (today in window.days and minute >= window.start) or (
                yesterday in window.days and minute < window.end
            ):
                return True
        return False

    def next_change(self, now: float) -> float:
        """Return when (seconds since the epoch) it may open or close next; at most a day and an hour away."""
        local = self._local(now)
        best = now + 25 * 3600
        for window in self.windows:
            for minute in (window.start, window.end % 1440):
                for ahead in (0, 1, 2):
                    day = local.date() + timedelta(days=ahead)
                    at = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=self.zone)
                    moment = at.timestamp()
                    if moment > now:
                        best = min(best, moment)
        return best

    def __repr__(self) -> str:
        return f"Schedule({self.text!r})"

    def _local(self, now: float) -> datetime:
        moment = datetime.fromtimestamp(now, UTC)
        return moment.astimezone(self.zone)


def _window(text: str, setting: str) -> Window:
    days: set[int] = set()
    times: tuple[int, int] | None = None
    for word in text.lower().replace(" - ", "-").split():
        match = _TIMES.fullmatch(word)
        if match:
            hours = [int(g) for g in match.groups()]
            if times is not None or hours[0] > 23 or hours[2] > 24 or hours[1] > 59 or hours[3] > 59:
                raise SettingError(setting, text, "wants one span of times, such as '22:00-06:00'")
            times = (hours[0] * 60 + hours[1], min(1440, hours[2] * 60 + hours[3]))
            continue
        for part in word.strip(",").split(","):
            days |= _days(part, text, setting)
    if times is None:
        times = (0, 1440)
    if not days:
        days = set(range(7))
    return Window(frozenset(days), *times)


def _days(part: str, text: str, setting: str) -> set[int]:
    if part in _WORDS:
        return {DAYS.index(day) for day in _WORDS[part]}
    first, dash, last = part.partition("-")
    if first[:3] in DAYS and (not dash or last[:3] in DAYS):
        start = DAYS.index(first[:3])
        end = DAYS.index(last[:3]) if dash else start
        return {day % 7 for day in range(start, end + 1 if end >= start else end + 8)}
    raise SettingError(setting, text, f"{part!r} is not a day or a span of times; write such as '22:00-06:00 mon-fri'")
