"""What the event stream costs: a row's way to the wire, to fifty readers, and into Arrow.

Run by `make bench-pieces`, with figures and goals; in the ordinary run once each, for what they give: how long things
take there says nothing, for other tests run beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from dnsnb import schema, sse
from dnsnb.dns.journal import LogBatch
from dnsnb.server.rowfilter import RowFilter
from dnsnb.server.stream import Form, Reader, Ring

ROWS = 2000
READERS = 50
FORMS = {
    "by column": Form(batch=True),
    "by row": Form(),
    "by column, filtered": Form(batch=True, filter=RowFilter("status:cached qname:example.org")),
}


def batch(first: int = 1) -> schema.Columns:
    columns: schema.Columns = {
        "time": [1_700_000_000_000_000 + n * 37 for n in range(ROWS)],
        "client": [f"192.168.1.{n % 40}" for n in range(ROWS)],
        "qname": [f"host-{n % 300}.example.org" for n in range(ROWS)],
        "status": ["cached" if n % 3 else "blocked" for n in range(ROWS)],
        "list": [None if n % 3 else "blacklist" for n in range(ROWS)],
        "answers": [["198.51.100.46", "198.51.100.47"]] * ROWS,
        "latency_ms": [0.01 * n for n in range(ROWS)],
        "id": list(range(first, first + ROWS)),
    }
    same = {"transport": "udp", "qtype": "A", "qclass": "IN", "rcode": "NOERROR", "flags": "qr rd ra"}
    numbers = {"ttl": 600, "query_bytes": 33, "response_bytes": 65, "ede": None, "upstream": None, "rule": None}
    return columns | {name: [value] * ROWS for name, value in (same | numbers).items()}


def best_of(function: Callable[[], Any], times: int = 5) -> float:
    """Seconds of the quickest of some runs: what else the machine does only ever adds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return min(taken)


def test_encode_a_batch(benchmark: Any) -> None:
    columns = batch()
    benchmark.extra_info["rows"] = ROWS
    benchmark(lambda: LogBatch(columns, ROWS).json)
    if benchmark.enabled:
        assert best_of(lambda: LogBatch(columns, ROWS).json) / ROWS < 2e-6  # 0.15 µs where nothing else runs


def test_decode_a_batch_into_arrow(benchmark: Any) -> None:
    raw = sse.encode(LogBatch(batch(), ROWS).json)

    def decode() -> Any:
        (message,) = sse.Decoder().feed(raw)
        return schema.to_arrow(schema.whole(orjson.loads(message.data)))

    assert benchmark(decode).num_rows == ROWS
    if benchmark.enabled:
        assert best_of(decode) / ROWS < 10e-6  # 0.9 µs where nothing else runs


@pytest.mark.parametrize("form", FORMS)
def test_fan_out_to_fifty_readers(form: str, benchmark: Any) -> None:
    ring = Ring("1", 50_000, 32 << 20, lambda: 1)
    readers = [Reader(ring, lambda _: True, lambda: (), FORMS[form]) for _ in range(READERS)]
    for reader in readers:
        reader.take()
    columns = batch()
    by_column = FORMS[form].key == (True, "")

    def deliver() -> int:
        before = sum(reader.sent_events for reader in readers)
        ring.add_rows(LogBatch(columns, ROWS), by_column)
        for reader in readers:
            while reader.take():
                pass
        return sum(reader.sent_events for reader in readers) - before

    delivered = benchmark(deliver)
    assert delivered == READERS * (ROWS if FORMS[form].filter is None else sum(n % 3 > 0 for n in range(ROWS)))
    if benchmark.enabled:
        rate = delivered / best_of(deliver)
        benchmark.extra_info["deliveries_a_second"] = round(rate)
        assert rate > (2e6 if by_column else 7e5)
