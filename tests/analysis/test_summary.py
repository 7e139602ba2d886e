"""The report: its figures by hand, its findings, its page as a browser's parser and a terminal see it."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import KINDS, as_kind, rich_table

import dnsnb
from dnsnb import schema, simulate
from dnsnb.analysis import wording
from dnsnb.analysis.facts import facts, with_zone
from dnsnb.analysis.summary import Summary, summary
from dnsnb.cli import main
from dnsnb.errors import MissingColumnError

BASE = 1_795_392_000_000_000  # 2026-11-23 00:00 UTC


def small(**columns: Any) -> pd.DataFrame:
    """Ten queries in nine minutes: two blocked, two cached, four forwarded, one failed, one local."""
    given = {
        "time": [BASE + n * 60_000_000 for n in range(10)],
        "client": ["10.0.0.1"] * 9 + [None],
        "qname": ["a.test", "b.test"] * 5,
        "qtype": ["A"] * 10,
        "rcode": ["NOERROR"] * 8 + ["SERVFAIL", "NXDOMAIN"],
        "status": ["blocked"] * 2 + ["cached"] * 2 + ["forwarded"] * 4 + ["failed", "local"],
        "upstream": [None] * 4 + ["u"] * 5 + [None],
        "latency_ms": [0.0, 0.0, 0.1, 0.1, 10.0, 20.0, 30.0, 40.0, 4500.0, 0.0],
    }
    return schema.to_frame(schema.to_arrow(given | columns))


def test_the_figures_by_hand() -> None:
    report = summary(small())
    facts = report.facts
    assert (facts.rows, facts.clients, facts.names, facts.seconds) == (10, 1, 2, 540.0)
    assert (facts.blocked, facts.failed, facts.nxdomain) == (0.2, 0.1, 0.1)
    assert facts.from_memory == pytest.approx(2 / 6)
    assert facts.p50 == pytest.approx(25.0)
    assert facts.p95 == pytest.approx(38.5)
    assert report.heading == "10 queries from 2026-11-23 00:00:00 to 00:09:00 UTC"
    assert wording.lead(facts) == (
        "1 client asked 10 questions about 2 names in 9 minutes. 20% were blocked, memory answered 33% of what would "
        "have gone to upstreams and 10% failed. An upstream's answer took 25 ms as a rule, and more than 38 ms one "
        "time in twenty."
    )


def test_the_same_on_every_engine() -> None:
    first, *others = (summary(as_kind(rich_table(), kind)) for kind in KINDS)
    for other in others:
        assert str(first) == str(other)
        assert first.html() == other.html()


def span(frame: pd.DataFrame, tz: str | None = None) -> str:
    return facts(*with_zone(frame, tz)).span()


def test_times_are_in_the_frame_s_own_zone() -> None:
    frame = small()
    frame["time"] = frame["time"].dt.tz_convert("Asia/Kolkata")
    report = summary(frame)
    assert report.heading.endswith("from 2026-11-23 05:30:00 to 05:39:00 IST (Asia/Kolkata)")
    assert str(pd.DatetimeIndex(report.parts["When"].index).tz) == "Asia/Kolkata"
    assert "Times are in Asia/Kolkata (as in the log)." in report.notes
    assert span(small(), "Europe/Berlin").endswith("01:00:00 to 01:09:00 CET (Europe/Berlin)")
    naive = small()
    naive["time"] = naive["time"].dt.tz_localize(None)
    assert span(naive) == span(small())
    assert with_zone(naive)[2] == "the log names none; taken as UTC"
    with pytest.raises(ValueError, match="tz: 'Mars/Crater'"):
        summary(small(), tz="Mars/Crater")


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    times = [1_793_512_800_000_000 + n * 3_600_000_000 for n in range(-3, 4)]  # around 2026-11-01 01:00 in New York
    said = span(small(time=[*times, *times[:3]]), "America/New_York")
    assert " EDT" in said
    assert " EST" in said


@pytest.mark.parametrize("missing", ["time", "client", "rcode", "status"])
def test_what_is_missing_is_left_out_and_said(missing: str) -> None:
    report = summary(small().drop(columns=missing))
    assert report.html()
    assert str(report)
    assert any(missing in note and "left out" in note for note in report.notes)


def test_odd_frames() -> None:
    with pytest.raises(MissingColumnError, match="qname"):
        summary(small().drop(columns="qname"))
    for frame in (schema.empty_frame(), schema.to_frame(schema.to_arrow({"id": [1, 2]})), small().head(1)):
        report = summary(frame)
        assert report._repr_html_()
        assert "Nothing that is looked for" in str(report)
    assert summary(pd.DataFrame({"qname": ["a.test"]})).heading == "1 query"


def test_what_looks_wrong_has_its_evidence() -> None:
    frame = simulate.frame(hours=4, threats=False)
    slow = frame["upstream"].eq("198.51.100.53") & frame["status"].eq("forwarded")
    frame.loc[slow, "status"] = "failed"
    hole = frame["time"].between(
        frame["time"].iloc[0] + pd.Timedelta("90min"), frame["time"].iloc[0] + pd.Timedelta("2h")
    )
    frame = pd.concat([frame[~hole]] * 2)
    storm = frame.head(1).assign(qname="again.test", client="10.9.9.9")
    found = {f.title: f for f in summary(pd.concat([frame, *[storm] * (len(frame) // 2)])).findings}
    assert found["An upstream fails"].level == "high"
    assert found["An upstream fails"].evidence["upstream"].tolist() == ["198.51.100.53"]
    assert found["An upstream fails"].text.startswith("100.0%")
    assert "again.test" in found["One question over and over"].text
    assert set(found["One question over and over"].evidence["qname"]) == {"again.test"}
    assert 25 <= found["A hole in the log"].evidence["minutes"].iloc[0] <= 35


class Reader(HTMLParser):
    """Collects the tags that a browser would make, and what they refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


BAD = '</td></style><script>alert(1)</script><img src=x onerror=alert(2)>"onload="x\x1b[2J\u202e'


def test_hostile_names_stay_text() -> None:
    n = 300
    frame = small(
        time=[BASE + i * 1000 for i in range(n)], client=[BAD] * n, qname=[BAD] * n, qtype=[BAD] * n,
        rcode=["SERVFAIL"] * n, status=["failed"] * n, upstream=[BAD] * n, latency_ms=[1.0] * n, source=[BAD] * n,
        rule=[BAD] * n,
    )  # fmt: skip
    frame.attrs["import"] = BAD
    report = summary(frame, title=BAD)
    assert report.findings
    for drawn in (report.html(), report._repr_html_()):
        reader = Reader()
        reader.feed(drawn)
        assert not {"script", "img", "iframe", "link", "object"} & set(reader.tags)
        assert not [name for name, _ in reader.attributes if name.startswith("on")]
        assert not [v for name, v in reader.attributes if name in ("src", "href")]
        assert "\x1b" not in drawn
        assert "\u202e" not in drawn
    assert "\x1b" not in str(report)
    assert "\u202e" not in str(report)
    assert report.html().count("<style>") == 1


def test_the_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    page = summary(small()).save(tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "default-src &#x27;none&#x27;" in page
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert len(list(tmp_path.iterdir())) == 1


def test_saving_nowhere_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere'$"):
        summary(simulate.frame(hours=0.1)).save(tmp_path / "nowhere" / "day.html")


def test_the_style_is_its_own() -> None:
    style = summary(small())._repr_html_().split("<style>")[1].split("</style>")[0]
    for selectors in re.findall(r"(?:^|[}{])\s*([^{}@]+)\{", style):
        assert all(".dnsnb-report" in one for one in selectors.split(",")), selectors
    assert "prefers-color-scheme:dark" in style
    assert 'data-jp-theme-light="false"' in style


def test_words() -> None:
    assert [wording.share(v) for v in (0, 0.00001, 0.0123, 0.5, 0.999, 1, float("nan"))] == [
        "0%", "<0.1%", "1.2%", "50%", ">99%", "100%", "–"
    ]  # fmt: skip
    assert wording.cell("share", 0.25) == "25%"
    assert [wording.cell("x", v) for v in (1234567, 12.345, 0.01234, None, pd.NA, float("nan"), True)] == [
        "1,234,567", "12.3", "0.0123", "–", "–", "–", "yes"
    ]  # fmt: skip
    assert len(wording.cell("qname", "x" * 400)) < 100
    assert wording.printable("a\nb") == "a�b"


# --- the command ---


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "dns.log"
    path.write_text(
        "".join(
            f"Mar  1 10:{n // 60:02}:{n % 60:02} dnsmasq[7]: query[A] n{n}.test from 192.0.2.{n % 3}\n"
            f"Mar  1 10:{n // 60:02}:{n % 60:02} dnsmasq[7]: forwarded n{n}.test to 9.9.9.9\n"
            for n in range(200)
        )
        + "a line that nobody can read\n"
    )
    return path


def test_the_command_prints(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(log), "--tz", "Europe/Berlin", "--year", "2026"]) == 0
    printed = capsys.readouterr().out
    assert "200 queries from 2026-03-01 10:00:00 to 10:03:19 CET (Europe/Berlin)" in printed
    assert "DNS REPORT: DNS.LOG" in printed
    assert "skipped 1" in printed.split("About this log")[1]
    assert str(log.parent) not in printed  # a report is for others: no paths of this machine


def test_the_command_writes(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "report.html"
    assert main(["report", str(log), "--out", str(out)]) == 2
    assert "can't be written" in capsys.readouterr().err
    out.parent.mkdir()
    assert main(["report", str(log), "--out", str(out), "--title", "Ours", "--tz", "UTC", "--year", "2026"]) == 0
    assert "<title>Ours</title>" in out.read_text(encoding="utf-8")
    assert main(["report", str(log), "--out", str(out.with_suffix(".txt"))]) == 0
    assert out.with_suffix(".txt").read_text(encoding="utf-8").startswith("DNS REPORT")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.log"], "nothing.log"),
        (["LOG", "--out", "x.pdf"], "must end in .html or .txt"),
        (["LOG", "--tz", "Mars/Crater"], "Mars/Crater"),
        (["LOG", "--format", "papyrus"], "papyrus"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], says: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *(str(log) if a == "LOG" else a for a in arguments)]) == 2
    assert says in capsys.readouterr().err


def test_a_large_log_is_scanned(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from dnsnb.commands import report

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    arguments = ["report", str(log), "--tz", "UTC", "--year", "2026"]
    assert main(arguments) == 0
    small = capsys.readouterr().out.split("About this log")[0]
    monkeypatch.setattr(report, "LARGE", 10)
    assert main(arguments) == 0
    assert capsys.readouterr().out.split("About this log")[0] == small
    assert list((tmp_path / "cache").rglob("*.parquet"))


def test_it_is_at_the_door() -> None:
    assert dnsnb.summary is summary
    assert isinstance(small().dns.summary(), Summary)
