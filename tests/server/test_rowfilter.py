"""Which rows pass `?filter=`."""

from __future__ import annotations

import pytest

from dnsnb.errors import SettingError
from dnsnb.server.rowfilter import RowFilter, is_below

COLUMNS = {
    "client": ["192.0.2.1", "192.0.2.200", "2001:db8::1", "fe80::1%eth0", "198.51.100.7", None],
    "qname": ["a.example.com", "example.com", "notexample.com", r"a\.example.com", ".", "b.example.com"],
    "qtype": ["A", "AAAA", "HTTPS", "A", "NS", "A"],
    "rcode": ["NOERROR", "NXDOMAIN", "NOERROR", None, "SERVFAIL", "NOERROR"],
    "status": ["cached", "blocked", "forwarded", "blocked", "failed", "local"],
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("status:blocked", [1, 3]),
        ("status:blocked,failed", [1, 3, 4]),
        ("status:blocked rcode:nxdomain", [1]),
        ("qtype:a", [0, 3, 5]),
        ("rcode:NOERROR", [0, 2, 5]),
        ("qname:Example.COM.", [0, 1, 5]),
        ("qname:com", [0, 1, 2, 3, 5]),
        ("client:192.0.2.0/25", [0]),
        ("client:192.0.2.1,2001:db8::/32", [0, 2]),
        ("client:fe80::/10", [3]),
        ("client:203.0.113.9", []),
    ],
)
def test_rows(text: str, rows: list[int]) -> None:
    found, count = RowFilter(text).apply(COLUMNS, 6)
    assert count == len(rows)
    assert (found.get("qname") or []) == [COLUMNS["qname"][n] for n in rows]


def test_a_column_that_is_absent_is_null_and_passes_nothing() -> None:
    assert RowFilter("rcode:NOERROR").apply({"qname": ["a"]}, 1) == ({}, 0)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("status:nosuch", "nosuch"),
        ("colour:red", "colour:red"),
        ("status", "status"),
        ("status:", "status:"),
        ("qtype:A;B", "A;B"),
        ("client:example.com", "example.com"),
        ("client:192.0.2.0/33", "192.0.2.0/33"),
        ("qtype:A qtype:B", "qtype:B"),
        ("   ", ""),
        ("qname:" + "a" * 3000, "a"),
        ("qtype:" + ",".join(f"TYPE{n}" for n in range(65)), "TYPE0"),
    ],
)
def test_a_wrong_filter_is_quoted(text: str, culprit: str) -> None:
    with pytest.raises(SettingError) as error:
        RowFilter(text)
    assert error.value.setting == "filter"
    assert culprit in str(error.value)


def test_a_dot_inside_a_label_does_not_make_a_subdomain() -> None:
    assert not is_below(r"www\.blocked", "blocked")
    assert is_below(r"www\\.blocked", "blocked")  # a label that ends in a backslash
    assert is_below("a.b", "")
