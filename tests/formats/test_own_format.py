"""A format of one's own, as the README shows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dnsnb.errors import SettingError
from dnsnb.formats import FORMATS, Format, read_log
from dnsnb.formats.patterns import TextFormat

PATTERN = (
    r"^(?P<time_iso>\S+) (?P<client>\S+) asked (?P<qname>\S+) (?P<qtype>\S+) -> (?P<rcode>\w+) in "
    r"(?P<latency_ms>[\d.]+) ms$"
)


@pytest.fixture
def mine() -> Iterator[None]:
    FORMATS["mylog"] = Format("mylog", "My resolver's log", "lines", "", TextFormat(PATTERN))
    yield
    del FORMATS["mylog"]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"^(?P<querytype>\S+)", "'querytype': is no column.* did you mean qtype"),
        (r"^(?P<time>\S+)", "'time': is no column.* did you mean time_"),
        (r"^(?P<qname>\S+", "must be a regular expression of RE2.*unterminated"),
        (r"^(?=x)(?P<qname>\S+)", "must be a regular expression of RE2.*perl operator"),
        (r"^no groups$", "must have groups named as columns"),
    ],
)
def test_a_pattern_that_can_not_be_is_told_when_it_is_made(pattern: str, says: str) -> None:
    with pytest.raises(SettingError, match=f"pattern: .*{says}"):
        TextFormat(pattern)


@pytest.mark.usefixtures("mine")
def test_rows_whose_time_can_not_be_read_are_counted() -> None:
    log = b"2026-03-01T10:00:00Z 192.0.2.1 asked a.example A -> NOERROR in 1 ms\n"
    report = read_log(log + log.replace(b"2026-03-01", b"01/03/2026")).attrs["import"]
    assert (report.rows, report.untimed) == (2, 1)
    assert "no time     1 rows" in str(report)


@pytest.mark.usefixtures("mine")
def test_a_pattern_with_named_groups_is_a_format() -> None:
    log = b"2026-03-01T10:00:00Z 192.0.2.1 asked WWW.Example.com. type28 -> NXDomain in 1.5 ms\nsomething else\n"
    frame = read_log(log * 3)
    row = frame.iloc[0]
    assert frame.attrs["import"].format == "mylog"
    assert frame.attrs["import"].skipped_count == 3
    assert (row["qname"], row["qtype"], row["rcode"], row["latency_ms"]) == ("www.example.com", "AAAA", "NXDOMAIN", 1.5)
    assert len(read_log(log, format="mylog", rows="events")) == 1
