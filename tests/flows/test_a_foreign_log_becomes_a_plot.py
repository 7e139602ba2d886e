"""Flow 2: the log of another system becomes the frame, a rate, and a drawing."""

from __future__ import annotations

from pathlib import Path

import pytest

import dnsnb
from dnsnb import schema
from dnsnb.errors import LogFormatError

LINES = """\
Mar  2 10:00:01 dnsmasq[77]: query[A] www.example.com from 192.0.2.7
Mar  2 10:00:01 dnsmasq[77]: forwarded www.example.com to 198.51.100.53
Mar  2 10:00:02 dnsmasq[77]: reply www.example.com is 203.0.113.10
Mar  2 10:02:05 dnsmasq[77]: query[AAAA] ads.example.net from 192.0.2.8
Mar  2 10:02:05 dnsmasq[77]: config ads.example.net is ::
Mar  2 10:02:30 dnsmasq[77]: query[A] www.example.com from 192.0.2.8
Mar  2 10:02:30 dnsmasq[77]: cached www.example.com is 203.0.113.10
"""


def test_a_foreign_log_becomes_a_plot(tmp_path: Path) -> None:
    path = tmp_path / "pihole.log"
    path.write_text(LINES, encoding="utf-8")
    frame = dnsnb.read_log(path, year=2026, tz="UTC")
    assert list(frame.columns[: len(schema.NAMES)]) == list(schema.NAMES)
    assert frame["qname"].tolist() == ["www.example.com", "ads.example.net", "www.example.com"]
    assert frame["client"].tolist() == ["192.0.2.7", "192.0.2.8", "192.0.2.8"]
    assert frame["status"].tolist()[0] == "forwarded"
    assert frame["status"].tolist()[2] == "cached"
    assert list(frame["answers"].iloc[0]) == ["203.0.113.10"]
    report = frame.attrs["import"]
    assert report.rows == 3
    rate = frame.dns.rate("1min")
    assert rate["count"].tolist() == [1, 0, 2]
    drawing = str(rate.plot(backend="svg"))
    assert drawing.startswith("<svg")
    assert "10:02" in drawing


def test_what_is_no_log_says_so(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Anna,\nthe weather is fine here.\n", encoding="utf-8")
    with pytest.raises(LogFormatError, match=r"letter\.txt"):
        dnsnb.read_log(path)
