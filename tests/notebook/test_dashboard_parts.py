"""The deciding parts of the live view: wire format, rates, pacing, the bundle; and the browser's modules under node."""

from __future__ import annotations

import base64
import itertools
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pandas as pd
import pytest

from dnsnb import schema, simulate
from dnsnb.notebook import assets
from dnsnb.notebook.frames_out import encode, tail
from dnsnb.notebook.pacing import INTERVAL, OVERDUE, SILENT, Budget, Pace
from dnsnb.notebook.rates import BINS, MINUTES, SECONDS, Rates, bin_middle, latency_bin

ROOT = Path(__file__).resolve().parents[2]
NODE = shutil.which("node")


@pytest.mark.peer
@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_modules_under_node() -> None:
    run = subprocess.run([str(NODE), "--test", "tests/js/"], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stdout[-6000:]
    assert int(re.findall(r"# pass (\d+)", run.stdout)[-1]) > 30


@pytest.mark.peer
@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_bundle_is_one_module_that_runs_alone() -> None:
    bundle = assets.script("widget.js")
    probe = """
      let source = "";
      for await (const part of process.stdin) source += part;
      const made = await import("data:text/javascript;base64," + Buffer.from(source).toString("base64"));
      console.log(Object.keys(made.default()).join());
    """
    run = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", probe],
        input=bundle,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.stdout == "initialize,render\n", run.stderr


def test_the_bundle_holds_every_module_once_and_imports_nothing() -> None:
    bundle = assets.script("widget.js")
    assert not re.search(r"^\s*import\b", bundle, re.MULTILINE)
    assert bundle.count("export ") == 1
    assert bundle.count("class Store ") == bundle.count("class Table ") == bundle.count("class Rates ") == 1
    assert "class Page" not in bundle
    assert len(bundle) < 110_000


def test_what_each_widget_sends_is_small_and_holds_the_whole_view() -> None:
    packed = assets.packed("widget.js")
    assert len(packed) <= 40_960, "the script that every widget sends; the aim is 40 KB"
    data = re.search(r'packed = "([^"<>&\\]{1000,})"', packed)
    assert data is not None
    digits = data[1].translate(str.maketrans(",.:", "<>&"))
    assert zlib.decompressobj(-15).decompress(base64.b85decode(digits)).decode() == assets.script("widget.js")
    assert len(assets.style()) < 20_000


def test_frames_are_small_and_whole() -> None:
    columns = tail(simulate.frame(1, hours=0.2, rate=4), 2000)
    count = len(columns["time"])
    heads, buffers = encode(columns)
    by_name = {h["name"]: h for h in heads}
    assert {"time", "client", "qname", "qtype", "status", "answers", "id"} <= set(by_name)
    assert by_name["qclass"]["kind"] == "const", "a column of one value needs no buffer"
    assert sum(map(len, buffers)) / count < 60
    names = by_name["qname"]
    code = {"u8": "B", "u16": "H", "u32": "I"}[names["kind"]]
    codes = struct.unpack(f"<{count}{code}", buffers[names["buffer"]])
    assert [names["dict"][c] for c in codes] == columns["qname"]
    times = struct.unpack(f"<{count}d", buffers[by_name["time"]["buffer"]])
    assert [int(t) for t in times] == columns["time"]


def test_nulls_travel_and_empty_columns_do_not() -> None:
    heads, buffers = encode(
        {
            "time": [1, 2],
            "qname": [None, "x"],
            "rule": [None, None],
            "ttl": [None, 5],
            "latency_ms": [None, 0.5],
            "answers": [[], ["a", "b"]],
            "nonsense": [1, 2],
        }
    )
    by_name = {h["name"]: h for h in heads}
    assert set(by_name) == {"time", "qname", "ttl", "latency_ms", "answers"}
    assert by_name["qname"]["dict"] == [None, "x"]
    assert by_name["answers"]["dict"] == [None, "a\nb"]
    assert struct.unpack("<2i", buffers[by_name["ttl"]["buffer"]]) == (-2147483648, 5)
    assert encode({}) == ([], [])
    many = [f"n{i}" for i in range(70_000)]
    assert encode({"qname": many})[0][0]["kind"] == "u32"


def test_the_tail_of_a_frame_is_what_the_stream_would_have_sent() -> None:
    columns: schema.Columns = {
        "time": [1_700_000_000_123_456],
        "qname": ["x.example"],
        "qtype": ["A"],
        "status": ["cached"],
        "answers": [["192.0.2.1"]],
        "ttl": [60],
        "latency_ms": [0.5],
        "id": [9],
    }
    frame = schema.to_frame(schema.to_arrow(columns))
    back = tail(frame, 10)
    assert {k: back[k] for k in columns} == columns
    assert back["upstream"] == [None]
    assert tail(schema.empty_frame(), 10)["time"] == []


def test_rates_agree_row_by_row_and_by_frame() -> None:
    frame = simulate.frame(3, hours=0.5, rate=3)
    one, other = Rates(), Rates()
    one.add_frame(frame)
    columns = tail(frame, len(frame))
    for at in range(0, len(frame), 700):
        other.add({k: v[at : at + 700] for k, v in columns.items()})
    assert one.pack(1) == other.pack(1)
    assert one.pack(60) == other.pack(60)
    assert one.recent(10**9)["count"] == len(frame)


def test_rates_are_bounded_and_keep_the_newest() -> None:
    rates = Rates()
    base = 1_700_000_000
    for second in range(SECONDS + 500):
        rates.add({"time": [(base + second) * 1_000_000], "status": ["cached"]})
    rates.add({"time": [(base - 10_000) * 1_000_000], "status": ["cached"]})
    pack = rates.pack(1)
    assert len(pack["at"]) == SECONDS
    assert max(pack["at"]) == base + SECONDS + 499
    assert len(rates.pack(60)["at"]) <= MINUTES


def test_latency_bins_are_those_of_the_browser() -> None:
    source = (assets.STATIC / "rates.js").read_text(encoding="utf-8")
    assert f"const BINS = {BINS};" in source
    assert f"const SECONDS = {SECONDS};" in source
    assert "Math.floor((Math.log2(ms) + 6) * 2)" in source
    for ms in (0.05, 1.0, 12.0, 900.0):
        assert bin_middle(latency_bin(ms)) == pytest.approx(ms, rel=0.25)
    statuses = re.search(r"STATUSES = \[(.*?)\]", (assets.STATIC / "text.js").read_text(encoding="utf-8"))
    assert statuses is not None
    assert tuple(re.findall(r'"(\w+)"', statuses.group(1))) == schema.STATUSES


def test_pace_of_an_answering_browser() -> None:
    pace = Pace()
    assert not pace.due(0.0), "nobody has opened it"
    pace.hello(visible=True)
    assert pace.due(0.0)
    pace.sending(0.0)
    assert not pace.due(INTERVAL / 2)
    assert pace.due(INTERVAL)
    pace.sending(INTERVAL)
    assert not pace.due(2 * INTERVAL), "two in flight"
    pace.ack(2 * INTERVAL, 1, True)
    assert pace.due(2 * INTERVAL)
    pace.ack(0.3, 2, False)
    assert not pace.due(0.5), "nobody sees it"
    pace.ack(0.3, 99, True)
    assert pace.acked == 2, "a number that was never sent"


def test_pace_of_a_silent_browser() -> None:
    pace = Pace()
    pace.hello(visible=True)
    pace.sending(0.0)
    pace.sending(0.1)
    sent = [t / 10 for t in range(2, int(SILENT * 10) + 300) if pace.due(t / 10) and pace.sending(t / 10)]
    gaps = [b - a for a, b in itertools.pairwise(sent)]
    assert min(gaps) >= OVERDUE - 0.01
    assert max(sent) < SILENT
    assert pace.silent(SILENT)
    pace.hello(visible=True)
    assert pace.due(SILENT + 40)
    assert not pace.silent(SILENT + 40)


def test_pace_of_a_view_whose_browser_cannot_speak_yet() -> None:
    pace = Pace()
    pace.shown(0.0)
    sent = [t / 10 for t in range(int(SILENT * 10) + 100) if pace.due(t / 10) and pace.sending(t / 10)]
    assert sent[0] == OVERDUE
    assert len(sent) == int(SILENT) - 1
    pace.hello(visible=True)
    assert pace.due(SILENT + 20)


def test_an_idle_view_is_not_a_silent_one() -> None:
    pace = Pace()
    pace.hello(visible=True)
    pace.sending(0.0)
    pace.ack(0.1, 1, True)
    assert not pace.silent(10_000)
    assert pace.due(10_000)


def test_the_budget_of_the_process() -> None:
    budget = Budget()
    assert sum(budget.take(t / 100) for t in range(1000)) <= 101


def test_a_frame_with_null_statuses_is_counted_as_unknown() -> None:
    frame = schema.to_frame(schema.to_arrow({"time": [10**15], "qname": ["x"], "status": [None]}))
    assert isinstance(frame, pd.DataFrame)
    rates = Rates()
    rates.add_frame(frame)
    assert rates.recent(10)["statuses"]["unknown"] == 1
