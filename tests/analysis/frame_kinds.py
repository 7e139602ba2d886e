"""The same rows as every kind of frame, and a result as values that can be compared whatever made it."""

from __future__ import annotations

from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

from dnsnb import schema

KINDS = ("pandas", "arrow-backed", "polars", "duckdb")
#: whole seconds from a full hour on, so that windows are seen at a glance
BASE = 1_795_392_000_000_000
SECOND = 1_000_000


def as_kind(table: pa.Table, kind: str) -> Any:
    """Return an Arrow table as one of KINDS."""
    if kind == "pandas":
        return schema.to_frame(table)
    if kind == "arrow-backed":
        return table.to_pandas(types_mapper=pd.ArrowDtype)
    return pl.from_arrow(table).lazy() if kind == "polars" else duckdb.from_arrow(table)


def rich_table() -> pa.Table:
    """A morning of a small network with something of everything that the analyses look for."""
    rows: list[dict[str, Any]] = []

    def add(at_s: float, client: str | None, qname: str | None, qtype: str = "A", **more: Any) -> None:
        row = {
            "time": BASE + int(at_s * SECOND), "client": client, "transport": "udp", "qname": qname, "qtype": qtype,
            "qclass": "IN", "rcode": "NOERROR", "status": "forwarded", "upstream": "192.0.2.53", "latency_ms": 12.5,
            "answers": ["192.0.2.1"], "ttl": 300, "flags": "qr rd ra", "query_bytes": 44, "response_bytes": 90,
            "source": "home", "id": len(rows) + 1,
        }  # fmt: skip
        rows.append(row | more)

    memory = {"status": "cached", "upstream": None, "latency_ms": 0.05, "ttl": 200}
    no_such = {"rcode": "NXDOMAIN", "answers": [], "ttl": None}
    blocked = {"status": "blocked", "upstream": None, "latency_ms": 0.02, "list": "ads", "rule": "tracker.example"}
    failed = {"status": "failed", "rcode": "SERVFAIL", "upstream": "198.51.100.53", "ttl": None, "answers": []}
    for minute in range(0, 90, 3):
        add(minute * 60, "10.0.0.1", "www.shop.example", **(memory if minute % 15 else {"latency_ms": 20.0 + minute}))
        add(minute * 60 + 0.01, "10.0.0.1", "www.shop.example", "AAAA", answers=["2001:db8::1"], latency_ms=30.0)
        add(minute * 60 + 0.02, "10.0.0.1", "www.shop.example", "HTTPS", answers=[], ttl=None)
        add(minute * 60 + 0.4, "10.0.0.1", "cdn.shop.example", latency_ms=8.0)
        add(minute * 60 + 0.9, "10.0.0.1", "pixel.tracker.example", **blocked)
    for n in range(20):
        add(100 + n, "10.0.0.2", f"host{n}.corp.example", rcode="NXDOMAIN", answers=[], ttl=None, latency_ms=3.0 + n)
        add(130 + n / 10, "10.0.0.2", "printer.local", **no_such)
    add(200, "10.0.0.2", "mail.example.org", "MX", answers=["10 mx.example.org"])
    add(200.5, "10.0.0.2", "mail.example.org.corp.example", "MX", **no_such)
    add(210, "10.0.0.2", "metrics.news.example", answers=["t.collector.example", "192.0.2.9"], ttl=60)
    add(220, "10.0.0.3", "1.0.0.10.in-addr.arpa", "PTR", **no_such)
    add(221, "10.0.0.3", "wpad", **no_such)
    add(222, "10.0.0.3", "192.0.2.1", **no_such)
    add(223, "10.0.0.3", "big.example.net", "ANY", response_bytes=3900, query_bytes=40)
    add(224, "10.0.0.3", "x.example.net", "NULL")
    add(225, "10.0.0.3", "x.example.net", "TYPE65400", flags="qr ra")
    add(226, "10.0.0.3", "use-application-dns.net", **no_such)
    add(227, "10.0.0.3", "dns.google", answers=["8.8.8.8"])
    add(228, "10.0.0.3", "mask.icloud.com")
    add(229, "10.0.0.3", "rebind.example.com", answers=["10.0.0.7"], ttl=1)
    add(230, "10.0.0.3", "bad.dnssec.example", rcode="SERVFAIL", status="failed", ede=6, answers=[], ttl=None)
    add(231, "10.0.0.3", "good.dnssec.example", flags="qr rd ra ad")
    for n in range(6):
        add(300 + n * 5, "10.0.0.3", "down.example.com", **failed, ede=22, latency_ms=5000.0)
    add(331, "10.0.0.3", "down.example.com", **failed | {"rcode": None, "latency_ms": None})
    add(400, "10.0.0.4", "old.example.com", status="stale", upstream=None, ttl=30, latency_ms=0.1)
    add(401, "10.0.0.4", "router.lan", status="local", upstream=None, answers=["10.0.0.1"])
    add(400.5, "10.0.0.4", "login.paypa1.com")
    add(402, "10.0.0.4", "xn--80ak6aa92e.com", transport="dot", client_name="laptop")
    add(403, "10.0.0.4", "shop.example", status="refused", rcode="REFUSED", answers=[], upstream=None)
    add(4000, "10.0.0.4", "www.shop.example", source="office", transport="tcp")
    add(9000, None, "a.test", "TXT", answers=["v=spf1 -all"], response_bytes=120)
    add(9001, "10.0.0.5", None, None, rcode=None, status=None, upstream=None, latency_ms=None)  # type: ignore[arg-type]
    add(9002, "10.0.0.5", ".", "NS", answers=["a.root-servers.net"])
    columns = {name: [row.get(name) for row in rows] for name in schema.NAMES}
    subnets = pa.array(["192.0.2.0/24/0" if row["client"] == "10.0.0.4" else None for row in rows]).dictionary_encode()
    return schema.to_arrow(columns).append_column("ecs", subnets)


def plain(found: Any) -> Any:
    """Return a result as a frame of comparable values: floats, texts, and None for every kind of null."""
    if not isinstance(found, pd.DataFrame):
        return str(found)
    table = pd.DataFrame(found)
    if table.index.name is not None or not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    made = {}
    for name in table.columns:
        values = table[name]
        if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
            made[str(name)] = values.astype("Float64").to_numpy("float64", na_value=float("nan"))
        elif isinstance(values.dtype, pd.DatetimeTZDtype):
            made[str(name)] = values.dt.tz_convert("UTC").dt.as_unit("us")
        else:
            made[str(name)] = pd.Series([_cell(v) for v in values], dtype="object", index=values.index)
    return pd.DataFrame(made, index=table.index)


def _cell(value: Any) -> Any:
    if isinstance(value, str | bool | int):
        return value
    if hasattr(value, "__len__"):
        return tuple(_cell(v) for v in value)
    return None if pd.isna(value) else value


def made(*rows: dict[str, Any], **all_have: Any) -> pd.DataFrame:
    """Return rows as a typed frame; `at` is the time in seconds after BASE, `all_have` what every row has."""
    whole = [all_have | row for row in rows]
    for row in whole:
        if row.get("at") is not None:
            row["time"] = BASE + round(row["at"] * SECOND)
    names = {name for row in whole for name in row} & set(schema.NAMES)
    return schema.to_frame(schema.to_arrow({name: [row.get(name) for row in whole] for name in names}))


_CLIENTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", None])
_NAMES = [
    "a.test",
    "www.a.test",
    "a.test.lan",
    "b.example.com",
    "tracker.example",
    "wpad",
    "1.0.0.10.in-addr.arpa",
    None,
]
#: rows of anything that a log may hold, for property tests
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.one_of(st.integers(0, 7200), st.none()),
            "client": _CLIENTS,
            "qname": st.sampled_from(_NAMES),
            "qtype": st.sampled_from(["A", "AAAA", "HTTPS", "PTR", "ANY", "TYPE65280", None]),
            "rcode": st.sampled_from(["NOERROR", "NXDOMAIN", "SERVFAIL", None]),
            "status": st.sampled_from([*schema.STATUSES, None]),
            "upstream": st.sampled_from(["u1", "u2", None]),
            "latency_ms": st.one_of(st.none(), st.integers(1, 9000).map(float)),
            "flags": st.sampled_from(["qr rd ra", "qr rd ra ad", "qr ra", "qr rd ra cd", None]),
            "ede": st.sampled_from([None, 6, 22]),
            "ttl": st.sampled_from([None, 0, 59, 60, 300, 100_000]),
            "query_bytes": st.sampled_from([None, 30, 60]),
            "response_bytes": st.sampled_from([None, 60, 3000]),
            "answers": st.sampled_from([None, [], ["192.0.2.1"], ["x.tracker.example", "192.0.2.1"]]),
        }
    ),
    max_size=20,
).map(lambda rows: made(*rows))
