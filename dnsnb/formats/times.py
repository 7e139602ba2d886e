"""When a line was written: years that a log leaves out, zones, the two hours that share a name when clocks go back.

Pure but for the state of one log (the last time seen). Knows numpy, pandas and errors.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.errors import SettingError
from dnsnb.formats.report import ImportReport

Ints = np.ndarray[Any, np.dtype[Any]]
DAY = 86_400_000_000
HOUR = 3_600_000_000
MISSING = np.int64(np.iinfo(np.int64).min)
"""A time that could not be read (what numpy calls NaT)."""

_OLDEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC).timestamp()

MONTHS = {
    m: i for i, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
# other languages' abbreviations that a localised strftime writes, where they differ from English (first three letters)
MONTHS |= {
    "mär": 3,
    "mrz": 3,
    "mai": 5,
    "okt": 10,
    "dez": 12,
    "fév": 2,
    "fev": 2,
    "avr": 4,
    "jui": 6,
    "aoû": 8,
    "aou": 8,
    "déc": 12,
    "ene": 1,
    "abr": 4,
    "ago": 8,
    "dic": 12,
    "gen": 1,
    "mag": 5,
    "giu": 6,
    "lug": 7,
    "set": 9,
    "ott": 10,
    "maa": 3,
    "mrt": 3,
    "maj": 5,
    "juil": 7,
    "des": 12,
    "mei": 5,
    "out": 10,
}


def month_of(word: str) -> int:
    """Return the number of a month that is written short, in English or another language of `MONTHS`; -1 for none."""
    text = word.lower().rstrip(".")
    return MONTHS.get(text[:4], MONTHS.get(text[:3], -1))


class Clock:
    """Turns the written times of one log into µs since the epoch (UTC), in the order of its lines.

    `tz` is an IANA name, ``"UTC"``, or None for the zone of this machine; `year` is the year of the first line, or
    None to infer it from `modified` (the file's own time, seconds): the first line is not younger than that.
    """

    def __init__(self, report: ImportReport, tz: str | dt.tzinfo | None, year: int | None, modified: float) -> None:
        self.report = report
        self.zone = zone_of(tz)
        self.told = tz is not None
        self.year = year
        self.modified = modified
        self._last: int | None = None  # the last yearless time, as naive µs
        self._fold = False
        self._before: int | None = None
        self._counts: dict[str, int] = {}

    def local(self, naive: Ints) -> Ints:
        """Return local wall times (naive µs) as UTC; of two equal hours the first one stands until time runs back."""
        self.report["zone"] = f"{self.zone}" + (
            "" if self.told else " (assumed: the zone of this machine; tz= says another)"
        )
        if self.zone is UTC or not len(naive):
            return naive
        import pandas as pd

        good = naive != MISSING
        plain = np.where(good, naive, 0)
        index = pd.DatetimeIndex(plain.view("datetime64[us]"))
        first = _localised(index, self.zone, True, "shift_forward")
        second = _localised(index, self.zone, False, "NaT")
        double = (first != second) & (second != MISSING)
        if left_out := int((good & (second == MISSING)).sum()):
            self._count(
                left_out, f"lines have a time that the clocks of {self.zone} left out; is it the log's zone (tz=)?"
            )
        if double.any():
            first = np.where(self._seconds_of(plain, double), second, first)
            told = "lines fall in the hour that clocks showed twice; read in the order of the lines"
            self._count(int(double.sum()), told)
        else:
            self._fold, self._before = False, None
        return np.where(good, first, MISSING)

    def _count(self, count: int, text: str) -> None:
        before = self._counts.get(text, 0)
        self._counts[text] = before + count
        self.report.note(f"{before + count:,} {text}", instead=f"{before:,} {text}")

    def _seconds_of(self, naive: Ints, double: Ints) -> Ints:
        """Of the lines in a doubled hour, which are in its second showing: those after time ran back by over ten
        minutes."""
        out = np.zeros(len(naive), bool)
        places = np.flatnonzero(double)
        values = naive[places]
        breaks = np.append(0, np.flatnonzero(np.diff(values) > 12 * HOUR) + 1)
        for start, stop in zip(breaks, np.append(breaks[1:], len(values)), strict=True):
            part = values[start:stop]
            carry = self._before is not None and abs(int(part[0]) - self._before) < 12 * HOUR
            if not carry:
                self._fold, self._before = False, None
            steps = np.diff(part, prepend=part[0] if self._before is None else self._before)
            back = np.cumsum(steps < -HOUR // 6) > 0
            out[places[start:stop]] = back | self._fold
            self._fold = bool(back[-1]) or self._fold
            self._before = int(part[-1])
        return out

    def yearless(self, month: Ints, day: Ints, second: Ints) -> Ints:
        """Return times written without a year as UTC: each line is put nearest to the one before it.

        `second` counts from local midnight. A month, day or second below 0 gives `MISSING`.
        """
        good = (month > 0) & (month < 13) & (day > 0) & (day < 32) & (second >= 0)
        if not good.any():
            return np.full(len(month), MISSING)
        m, d, s = month[good], day[good], second[good]
        if self._last is None:
            self._last = self._begin(int(m[0]), int(d[0]), int(s[0]))
        last_year = int(np.int64(self._last // DAY).astype("datetime64[D]").astype("datetime64[Y]").astype(int)) + 1970
        place = m * 31 + d
        step = np.diff(place, prepend=_place(self._last))
        years = last_year + np.cumsum(np.where(step < -186, 1, 0) - np.where(step > 186, 1, 0))
        naive = days_from_civil(years, m, d) * DAY + s * 1_000_000
        turns = int((np.diff(years) != 0).sum())
        if turns:
            self.report.note(f"the year turned {turns} time(s) within the file")
        self._last = int(naive[-1])
        out = np.full(len(month), MISSING)
        out[good] = self.local(naive)
        return out

    def _begin(self, month: int, day: int, second: int) -> int:
        if self.year is not None:
            year = self.year
        else:
            modified = self.modified
            if modified < _OLDEST:  # no clock, or an archive that keeps no times
                modified = time.time()
                self.report.note("the file's time is none that a log can have; this machine's was taken for the year")
            now = dt.datetime.fromtimestamp(modified, dt.UTC) + dt.timedelta(hours=14)  # in the easternmost zone
            year = now.year
            if (month, day, second) > (now.month, now.day, now.hour * 3600 + now.minute * 60 + now.second):
                year -= 1
            if (month, day) == (2, 29):
                while not _leap(year):
                    year -= 1
        self.report["year"] = f"{year}" + (
            "" if self.year is not None else " (inferred from the file's time; year= says another)"
        )
        return int(days_from_civil(np.array([year]), np.array([month]), np.array([day]))[0]) * DAY + second * 1_000_000


UTC = ZoneInfo("UTC")


def zone_of(tz: str | dt.tzinfo | None) -> dt.tzinfo:
    """Return the zone that a setting names; None is the zone of this machine."""
    if isinstance(tz, dt.tzinfo):
        return tz
    if tz is None:
        return _machine_zone()
    if isinstance(tz, str) and tz.upper() in ("UTC", "Z", "GMT"):
        return UTC
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
        raise SettingError(
            "tz", tz, "not a zone that this machine knows; write such as 'Europe/Berlin' or 'UTC'"
        ) from None


def _machine_zone() -> dt.tzinfo:
    import os

    name = os.environ.get("TZ", "").lstrip(":")
    if not name:
        try:
            name = os.path.realpath("/etc/localtime").split("zoneinfo/", 1)[1]
        except (OSError, IndexError):
            name = ""
    if name.split("/")[-1].upper() in ("UTC", "ZULU", "GMT", "UNIVERSAL", "UCT"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        local = dt.datetime.now().astimezone().tzinfo
        return UTC if local is None or local.utcoffset(None) == dt.timedelta(0) else local


def _localised(index: Any, zone: dt.tzinfo, dst: bool, nonexistent: str) -> Ints:
    local = index.tz_localize(zone, ambiguous=np.full(len(index), dst), nonexistent=nonexistent)
    return np.asarray(local.tz_convert("UTC").tz_localize(None).as_unit("us").asi8)


def _place(naive: int) -> int:
    day = dt.date(1970, 1, 1) + dt.timedelta(days=naive // DAY)
    return day.month * 31 + day.day


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_from_civil(year: Ints, month: Ints, day: Ints) -> Ints:
    """Return days since 1970-01-01 of proleptic Gregorian dates."""
    y = year - (month <= 2)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468


def valid_date(year: Ints, month: Ints, day: Ints) -> Ints:
    """Return which dates can be (a day of 31 in every month is let pass, as the next month's first)."""
    return (year >= 1970) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)


_ISO = (
    r"^\[?(?P<y>\d{4})[-/.](?P<m>\d\d?)[-/.](?P<d>\d\d?)[T ](?P<h>\d\d):(?P<n>\d\d):(?P<s>\d\d)(?:[.,]"
    r"(?P<f>\d{1,9})\d*)?"
    r" ?(?P<z>Z|UTC|[+-]\d\d:?\d\d)?"
)


def iso(values: pa.Array, clock: Clock, assume_utc: bool = False) -> Ints:
    """Return ISO 8601 times (``T`` or blank, any fraction, ``Z``, ``+0200``, ``+02:00`` or no zone) as µs, UTC.

    A time without a zone is local to the clock's zone, or UTC with `assume_utc`. Unreadable ones are `MISSING`.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if values.null_count == len(values):
        return np.full(len(values), MISSING)
    if pa.types.is_string(values.type) and len(values) > 100:
        try:  # Arrow's own parser, where every time is plain ISO 8601 with a zone and no more than six decimals
            quick = values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
            return quick.fill_null(MISSING).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            pass
    coded = values.dictionary_encode()
    texts = coded.dictionary.cast(pa.string())
    found = pc.extract_regex(texts, pattern=_ISO)
    good = found.is_valid().to_numpy(zero_copy_only=False)

    def part(name: str) -> Ints:
        return _digits(found.field(name)).to_numpy(zero_copy_only=False)

    year, month, day = part("y"), part("m"), part("d")
    naive = days_from_civil(year, month, day) * DAY + part("h") * HOUR + part("n") * 60_000_000 + part("s") * 1_000_000
    fraction = pc.utf8_rpad(found.field("f").fill_null(""), 6, "0")
    naive = naive + pc.utf8_slice_codeunits(fraction, 0, 6).cast(pa.int64()).to_numpy(zero_copy_only=False)
    good &= valid_date(year, month, day)
    zone = pc.replace_substring(found.field("z").fill_null(""), ":", "")
    offsets = {z: _offset(z) for z in pc.unique(zone).to_pylist()}
    coded_zone = zone.dictionary_encode()
    shift = np.array([offsets[z] or 0 for z in coded_zone.dictionary.to_pylist()], np.int64)
    plain = np.array([offsets[z] is None for z in coded_zone.dictionary.to_pylist()], bool)
    zi = coded_zone.indices.to_numpy(zero_copy_only=False)
    naive = np.where(good, naive - shift[zi], MISSING)
    codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    out = naive[codes]
    if coded.null_count:
        out = np.where(coded.is_valid().to_numpy(zero_copy_only=False), out, MISSING)
    wanting = (plain[zi] & good)[codes]
    if wanting.any() and not assume_utc:
        out = out.copy()
        out[wanting] = clock.local(out[wanting])
    return out


def _digits(values: pa.Array) -> pa.Array:
    """Return digits as int64; the empty text of a line that did not match is 0."""
    return pc.if_else(pc.equal(values.fill_null(""), ""), "0", values).cast(pa.int64())


def _offset(text: str) -> int | None:
    if not text:
        return None
    if text in ("Z", "UTC"):
        return 0
    sign = -1 if text[0] == "-" else 1
    return sign * (int(text[1:3]) * HOUR + int(text[3:5]) * 60_000_000)


def epoch(values: pa.Array) -> Ints:
    """Return decimal seconds since the epoch, as text or number, as µs; exact to the µs. Unreadable ones are `MISSING`.

    Whole numbers too large for seconds are taken as ms, µs or ns.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        parts = pc.extract_regex(values, pattern=r"^(?P<s>\d{1,19})(?:\.(?P<f>\d{1,9})\d*)?$")
        good = parts.is_valid().to_numpy(zero_copy_only=False)
        if not len(values):
            return np.zeros(0, np.int64)
        texts = parts.field("s").fill_null("")
        wide = pc.if_else(pc.equal(texts, ""), "0", texts).cast(pa.uint64()).to_numpy(zero_copy_only=False)
        good &= wide < 1 << 62
        whole = np.where(wide < 1 << 62, wide, 0).astype(np.int64)
        fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(parts.field("f").fill_null(""), 6, "0"), 0, 6)
        micro = fraction.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return np.where(good, _scaled(whole) + micro, MISSING)
    numbers = values.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    good = np.isfinite(numbers) & (np.abs(numbers) < 9e18)
    numbers = np.where(good, numbers, 0)
    scale = np.where(numbers > 1e17, 1e-3, np.where(numbers > 1e14, 1.0, np.where(numbers > 1e11, 1e3, 1e6)))
    out = np.rint(numbers * scale)
    return np.where(good & (np.abs(out) < 7e15), out, 0).astype(np.int64) + np.where(good, 0, MISSING)


def _scaled(whole: Ints) -> Ints:
    return np.where(
        whole > 10**17,
        whole // 1000,
        np.where(whole > 10**14, whole, np.where(whole > 10**11, whole * 1000, whole * 1_000_000)),
    )
