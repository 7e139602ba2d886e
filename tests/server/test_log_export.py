"""The log as a file: every format gives the rows that are there, streamed; cells are no formulas."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import dnsnb
from dnsnb import schema
from dnsnb.dns.journal import LogBatch
from dnsnb.errors import CommandError
from dnsnb.server import log_routes
from dnsnb.server.logexport import EXPORTS, export_format, guarded

HOSTILE = ["=cmd|' /C calc'!A0.example", "+1.example", "-1.example", "@sum.example", "\\009x.example", 'a"b,c.example']


def rows(first: int, names: list[str]) -> schema.Columns:
    count = len(names)
    return {
        "time": [1_767_225_600_000_000 + n for n in range(count)],
        "client": ["192.0.2.1"] * count,
        "qname": names,
        "qtype": ["TXT"] * count,
        "status": ["forwarded"] * count,
        "answers": [["=1+1", "two"], *[[]] * (count - 1)],
        "latency_ms": [1.5] * count,
        "ede": [None] * count,
        "id": list(range(first, first + count)),
    }


def written(form: str, *parts: schema.Columns, guard: bool = True) -> bytes:
    writer = export_format(form).make(guard)
    data = b"".join(writer.add(part) for part in parts)
    return data + writer.end()


def test_csv_cells_are_no_formulas() -> None:
    table = list(csv.reader(io.StringIO(written("csv", rows(1, HOSTILE), rows(7, ["x"])).decode())))
    assert len(table) == 8
    names = [row[table[0].index("qname")] for row in table[1:]]
    assert names == ["'" + HOSTILE[0], "'" + HOSTILE[1], "'" + HOSTILE[2], "'" + HOSTILE[3], *HOSTILE[4:], "x"]
    assert table[1][table[0].index("answers")] == "'=1+1; two"
    assert table[1][table[0].index("time")] == "2026-01-01T00:00:00.000000Z"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in table for cell in row)
    raw = list(csv.reader(io.StringIO(written("csv", rows(1, HOSTILE), guard=False).decode())))
    assert [row[table[0].index("qname")] for row in raw[1:]] == HOSTILE


@pytest.mark.parametrize("text", ["\tx", "\rx", "\nx", "=x", "+x", "-x", "@x"])
def test_each_beginning_of_a_formula_is_guarded(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert guarded("x" + text) == "x" + text
    assert guarded(None) is None


def test_json_lines_are_rows() -> None:
    lines = written("jsonl", rows(1, HOSTILE)).splitlines()
    found = [json.loads(line) for line in lines]
    assert [row["qname"] for row in found] == HOSTILE
    assert "ede" not in found[0]
    assert b"".join(lines).isascii()


def test_parquet_is_the_frame() -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(written("parquet", rows(1, HOSTILE), rows(7, ["x", "y"]))))
    frame = schema.to_frame(table)
    assert list(frame["qname"]) == [*HOSTILE, "x", "y"]
    assert str(frame["time"].dtype) == "datetime64[us, UTC]"
    assert frame["answers"][0] == ["=1+1", "two"]


@pytest.mark.parametrize("form", EXPORTS)
def test_nothing_is_still_a_file(form: str) -> None:
    data = written(form)
    assert form == "jsonl" or data


@pytest.mark.parametrize("driver", ["memory", "file", "sqlite", "parquet"])
def test_a_session_exports_and_reads_its_log(driver: str, tmp_path: Path) -> None:
    from dnsnb.simulate import running

    count = 9000  # more than one chunk
    with running(latency_ms=0) as up, dnsnb.start(
        name="export", upstreams=[up.address], folder=tmp_path / "data", log_driver=driver
    ) as session:  # fmt: skip
        handle: Any = session.handle
        first = handle.server.storage.next_id()
        for start in range(0, count, 3000):
            part = rows(first + start, [f"n{n}.example" for n in range(start, start + 3000)])
            handle.server.drivers.log.append(LogBatch(part, 3000, 0, first + start))
        frame = session.log()
        assert list(frame["qname"]) == [f"n{n}.example" for n in range(count)]
        assert list(session.log(limit=10, name="*9.example")["qname"])[-1] == "n8999.example"
        assert len(session.log(status="blocked")) == 0
        client = session.client
        assert client.export_log(tmp_path / "all.csv") == (tmp_path / "all.csv").stat().st_size
        assert (tmp_path / "all.csv").read_bytes().count(b"\n") == count + 1
        client.export_log(tmp_path / "some.jsonl", name="n1.example,n2.example")
        assert len((tmp_path / "some.jsonl").read_bytes().splitlines()) == 2
        client.export_log(tmp_path / "all.parquet")
        import pandas as pd

        assert len(pd.read_parquet(tmp_path / "all.parquet")) == count
        with pytest.raises(CommandError) as error:
            client.export_log(tmp_path / "bad.xlsx")
        assert error.value.setting == "format"
        assert not (tmp_path / "bad.xlsx").exists()
        session.configure(log_driver="console")
        with pytest.raises(CommandError) as error:
            client.export_log(tmp_path / "none.csv")
        assert error.value.setting == "log_driver"


async def test_an_export_that_fails_is_cut_off(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_wanted: object) -> AsyncIterator[schema.Columns]:
        yield rows(0, ["one.example"])
        raise OSError("the disk is gone")

    monkeypatch.setattr(api.server.storage, "rows", broken)
    with pytest.raises(aiohttp.ClientError):
        await api.call("GET", "/api/dns/log/export")


async def test_who_does_not_read_its_export_is_cut_off(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_routes, "STALL_SECONDS", 0.1)
    gone = asyncio.Event()

    async def without_end(_wanted: object) -> AsyncIterator[schema.Columns]:
        try:
            for _ in range(100_000):  # more than all buffers on the way take
                yield rows(0, ["n.example" * 20] * 1000)
        finally:
            gone.set()

    monkeypatch.setattr(api.server.storage, "rows", without_end)
    where = api.server.http_url.rpartition("/")[2]
    reader, writer = await asyncio.open_connection(*where.split(":"), limit=1024)
    ask = f"GET /api/dns/log/export HTTP/1.1\r\nHost: {where}\r\nAuthorization: Bearer {api.server.token}\r\n\r\n"
    writer.write(ask.encode())
    assert b"200" in await reader.readline()
    async with asyncio.timeout(20):
        await gone.wait()
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 20):  # it comes to an end
                pass
    writer.transport.abort()
    await asyncio.sleep(0)  # it closes in the loop's next turn
