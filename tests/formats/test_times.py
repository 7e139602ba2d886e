"""Years that logs leave out, zones, and the hour that clocks show twice."""

from __future__ import annotations

import calendar
import datetime as dt
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnsnb.formats import follow, read_log
from dnsnb.formats.report import ImportReport
from dnsnb.formats.times import Clock


def dnsmasq(stamps: list[str]) -> bytes:
    return "".join(f"{s} dnsmasq[1]: query[A] n{i}.example from 192.0.2.1\n" for i, s in enumerate(stamps)).encode()


def times_of(data: bytes, **settings: object) -> list[str]:
    return [t.isoformat() for t in read_log(data, **settings)["time"]]


def test_the_year_turns_within_a_file() -> None:
    told = times_of(
        dnsmasq(["Dec 31 23:59:59", "Jan  1 00:00:00", "Dec 31 23:59:58", "Jan  2 00:00:00"]), year=2025, tz="UTC"
    )
    assert [t[:4] for t in told] == ["2025", "2026", "2025", "2026"]


@pytest.mark.parametrize(
    ("modified", "first", "year"),
    [
        ("2026-03-01", "Feb 28", 2026),
        ("2026-03-01", "Mar  5", 2025),
        ("2026-01-02", "Dec 30", 2025),
        ("2025-06-01", "Feb 29", 2024),
        ("2025-12-31", "Jan  1", 2025),
    ],
)
def test_the_year_is_inferred_from_the_files_time(tmp_path: Path, modified: str, first: str, year: int) -> None:
    target = tmp_path / "dnsmasq.log"
    target.write_bytes(dnsmasq([f"{first} 12:00:00"]))
    seconds = calendar.timegm(dt.date.fromisoformat(modified).timetuple())
    os.utime(target, (seconds, seconds))
    frame = read_log(target, tz="UTC")
    assert frame["time"].iloc[0].year == year
    assert "inferred" in frame.attrs["import"].year


def test_a_files_time_that_no_log_can_have_tells_no_year(tmp_path: Path) -> None:
    target = tmp_path / "dnsmasq.log"
    target.write_bytes(dnsmasq(["Mar  1 12:00:00"]))
    os.utime(target, (0, 0))
    frame = read_log(target, tz="UTC")
    assert frame["time"].iloc[0].year >= 2025
    assert any("file's time is none" in note for note in frame.attrs["import"].notes)


def test_the_year_of_an_old_log_that_is_followed_from_its_beginning(tmp_path: Path) -> None:
    target = tmp_path / "dnsmasq.log"
    target.write_bytes(dnsmasq(["Mar  1 12:00:00"]))
    seconds = calendar.timegm((2024, 3, 2, 0, 0, 0))
    os.utime(target, (seconds, seconds))
    with follow(target, start="beginning", tz="UTC", interval_s=0.01) as follower:
        pass
    assert list(follower.frame["time"].dt.year) == [2024]


def test_local_times_are_put_in_their_zone_and_the_report_says_which() -> None:
    frame = read_log(dnsmasq(["Jul  1 12:00:00", "Dec  1 12:00:00"]), tz="Europe/Berlin", year=2025)
    assert [t.hour for t in frame["time"]] == [10, 11]
    assert frame.attrs["import"].zone == "Europe/Berlin"
    assert "assumed" in read_log(dnsmasq(["Jul  1 12:00:00"])).attrs["import"].zone


def test_the_doubled_hour_is_read_in_the_order_of_the_lines() -> None:
    stamps = [
        f"Oct 26 {h:02d}:{m:02d}:00" for h, m in ((1, 59), (2, 0), (2, 30), (2, 59), (2, 0), (2, 30), (2, 59), (3, 0))
    ]
    told = pd.DatetimeIndex(times_of(dnsmasq(stamps), tz="Europe/Berlin", year=2025))
    assert list((told[1:] - told[:-1]).total_seconds()) == [60, 1800, 1740, 60, 1800, 1740, 60]


def test_the_hour_that_is_left_out_is_moved_forward() -> None:
    assert times_of(dnsmasq(["Mar 30 02:30:00"]), tz="Europe/Berlin", year=2025) == ["2025-03-30T01:00:00+00:00"]
    report = read_log(dnsmasq(["Mar 30 02:30:00", "Mar 30 04:30:00"]), tz="Europe/Berlin", year=2025).attrs["import"]
    assert report.notes == [
        "1 lines have a time that the clocks of Europe/Berlin left out; is it the log's zone (tz=)?"
    ]


def test_lines_of_the_doubled_hour_are_counted_in_one_note() -> None:
    clock = Clock(ImportReport(), "Europe/Berlin", 2025, 0.0)
    for minute in (0, 10):  # as two blocks
        clock.yearless(np.array([10]), np.array([26]), np.array([2 * 3600 + minute * 60]))
    assert [note[:12] for note in clock.report.notes] == ["2 lines fall"]


def test_months_of_other_languages() -> None:
    told = times_of(
        dnsmasq(["mai 04 10:00:00", "Okt 04 10:00:00", "déc 04 10:00:00", "Mär  4 10:00:00"]), tz="UTC", year=2025
    )
    assert [t[:7] for t in told] == ["2025-05", "2025-10", "2025-12", "2026-03"]


def test_clock_steps_are_counted() -> None:
    report = read_log(
        dnsmasq(["Mar  1 10:00:00", "Mar  1 09:00:00", "Mar  1 09:00:01", "Mar  1 08:59:59"]), tz="UTC", year=2026
    ).attrs["import"]
    assert report.clock_steps == 1


BIND = "client 192.0.2.1#1 (a.example): query: a.example IN A + (192.0.2.53)\n"


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("2026-03-01T10:00:00.123Z", "2026-03-01T10:00:00.123000+00:00"),
        ("2026-03-01T10:00:00.123+02:00", "2026-03-01T08:00:00.123000+00:00"),
        ("2026-03-01T10:00:00.123-0530", "2026-03-01T15:30:00.123000+00:00"),
        ("2026-03-01T10:00:00.123", "2026-03-01T15:00:00.123000+00:00"),
        ("01-Mar-2026 10:00:00.123", "2026-03-01T15:00:00.123000+00:00"),
    ],
)
def test_binds_clocks(stamp: str, utc: str) -> None:
    assert times_of(f"{stamp} {BIND}".encode(), tz="America/New_York") == [utc]


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("[1772359200] unbound[1:0] info:", "2026-03-01T10:00:00+00:00"),
        ("Mar 01 10:00:00 unbound[1:0] info:", "2026-03-01T10:00:00+00:00"),
        ("2026-03-01T10:00:00.250+02:00 unbound[1:1f] query:", "2026-03-01T08:00:00.250000+00:00"),
        ("<30>Mar  1 10:00:00 host unbound: [1:0] info:", "2026-03-01T10:00:00+00:00"),
    ],
)
def test_unbounds_clocks(stamp: str, utc: str) -> None:
    assert times_of(f"{stamp} 192.0.2.1 a.example. A IN\n".encode() * 3, tz="UTC", year=2026)[0] == utc


def test_windows_dates_are_settled_by_the_file_or_refused() -> None:
    from dnsnb.errors import LogFormatError

    line = (
        "{} 0D48 PACKET  000000000181D1C0 UDP Rcv 192.0.2.10      0c6b   Q [0001   D   NOERROR] A      "
        "(1)a(7)example(0)\r\n"
    )
    one = "".join(map(line.format, ["03/04/2026 10:00:00", "25/04/2026 10:00:00"])).encode()
    assert times_of(one, tz="UTC")[0].startswith("2026-04-03")
    assert times_of(line.format("2026/04/03 10:00:00").encode(), tz="UTC")[0].startswith("2026-04-03")
    assert times_of(line.format("3.4.2026 10:00:00").encode(), tz="UTC")[0].startswith("2026-04-03")
    with pytest.raises(LogFormatError, match="template='dmy'"):
        read_log(line.format("03/04/2026 10:00:00").encode(), tz="UTC")
    assert times_of(line.format("03/04/2026 10:00:00").encode(), tz="UTC", template="mdy")[0].startswith("2026-03-04")
