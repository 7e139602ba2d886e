"""A day of the made-up household as a frame, as if a dnsnb server had logged it: no server, no sockets, no waiting."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dnslib

from dnsnb import schema
from dnsnb.simulate.infections import Beacon, Burst, Dga, FastFlux, Infection, Rebinding, Tunnel
from dnsnb.simulate.traffic import Lookup, household, traffic
from dnsnb.simulate.world import ADS, World

if TYPE_CHECKING:
    import pandas as pd

_LOSS = 0.002  # share of forwarded questions that no upstream answers in time


def frame(
    seed: int = 1,
    hours: float = 24.0,
    rate: float = 1.0,
    *,
    blocked: Iterable[str] = ADS,
    start: datetime = datetime(2026, 3, 2, tzinfo=UTC),
    threats: bool = True,
    clients: int = 7,
    infected: Iterable[Infection] = (),
) -> pd.DataFrame:
    """Return the log of `hours` of household traffic, about `rate` rows a second, the same for the same arguments.

    `blocked` are domains (with all below them) that the made-up server blocks; the columns are `schema.COLUMNS`.
    `start` needs a time zone. `clients` is the size of the household; `infected` hides more in it (`Beacon`, `Tunnel`,
    `Dga`, `Rebinding`, `Burst`, `FastFlux`), and `attrs["truth"]` tells it: a list of dicts of text and numbers.
    """
    if start.tzinfo is None:
        raise ValueError(f"start: {start!r} has no time zone; give one, such as datetime(2026, 3, 2, tzinfo=UTC)")
    world = World(seed)
    hour = start.hour + start.minute / 60
    seconds = hours * 3600
    infected = tuple(infected)
    lookups = traffic(
        seed, seconds, rate, world=world, threats=threats, daily=True, start_hour=hour, clients=clients,
        infected=infected,
    )  # fmt: skip
    hidden = {lookup: infection for infection in infected for lookup in infection.lookups(seed, seconds)}
    names = household(clients)
    columns = _resolve(world, lookups, names, hidden, frozenset(blocked), random.Random(f"log {seed}"))
    base = int(start.timestamp() * 1e6)
    columns["time"] = [base + t for t in columns["time"]]
    columns["source"] = ["simulate"] * len(columns["time"])
    made = schema.to_frame(schema.to_arrow(columns))
    if infected:
        made.attrs["truth"] = [_truth(infection, hidden, names, start) for infection in infected]
    return made


def hunt(seed: int = 3, hours: float = 24.0, rate: float = 0.7, clients: int = 30) -> pd.DataFrame:
    """Return a day of a larger household in which one of each kind hides: a beacon, a tunnel, a DGA, a rebinding, a
    burst and a fast-flux name, with clients and times chosen by the seed; `attrs["truth"]` is the solution.

    >>> day = hunt(hours=6, rate=0.1)
    >>> [hidden["what"] for hidden in day.attrs["truth"]]
    ['beacon', 'tunnel', 'dga', 'rebinding', 'burst', 'fast flux']
    """
    rng = random.Random(f"hunt {seed}")
    beacon, tunnel, dga, rebinding, burst, flux = rng.sample(list(household(clients)), 6)
    seconds = hours * 3600

    def some(least: float, most: float) -> float:
        return round(seconds * rng.uniform(least, most), 1)

    hidden = (
        Beacon(beacon, period=rng.choice((180.0, 240.0, 300.0)), jitter=0.2, loss=0.15),
        Tunnel(tunnel, zone="n1.swift-ferry.example", start=some(0.2, 0.6), length=900.0),
        Dga(dga, algorithm=rng.getrandbits(32), start=some(0.3, 0.8)),
        Rebinding(rebinding, start=some(0.4, 0.9)),
        Burst(burst, start=some(0.5, 0.7)),
        FastFlux(flux),
    )
    return frame(seed, hours, rate, threats=False, clients=clients, infected=hidden)


def _truth(
    infection: Infection, hidden: dict[Lookup, Infection], names: dict[str, str], start: datetime
) -> dict[str, Any]:
    times = [lookup.at for lookup, of in hidden.items() if of is infection]
    first, last = ((start + timedelta(seconds=f(times))).isoformat() if times else None for f in (min, max))
    return {
        "what": infection.what,
        "client": infection.client,
        "client_name": names.get(infection.client),
        "domain": infection.domain,
        "queries": len(times),
        "first": first,
        "last": last,
        "said": infection.said,
    }


def _resolve(
    world: World,
    lookups: Iterable[Lookup],
    names: dict[str, str],
    hidden: dict[Lookup, Infection],
    blocked: frozenset[str],
    rng: random.Random,
) -> schema.Columns:
    """Answer each look-up as a caching, blocking server would, and return the rows by column."""
    rows: list[tuple[Any, ...]] = []
    cache: dict[tuple[str, str], tuple[float, _Answer]] = {}
    known: dict[tuple[str, str], _Answer] = {}
    upstreams = ("192.0.2.53", "198.51.100.53")
    for number, lookup in enumerate(lookups, 1):
        key = (lookup.qname, lookup.qtype)
        query_bytes = len(lookup.qname) + 2 + 16 + 11
        common = (
            int(lookup.at * 1e6),
            lookup.client,
            names.get(lookup.client),
            "udp",
            lookup.qname,
            lookup.qtype,
            "IN",
        )
        rule = _suffix_in(lookup.qname, blocked)
        if rule is not None:
            null = {"A": ["0.0.0.0"], "AAAA": ["::"]}.get(lookup.qtype)
            size = query_bytes + 12 + (16 if null else 0)
            rows.append(
                (
                    *common,
                    "NOERROR",
                    "blocked",
                    "blacklist",
                    rule,
                    None,
                    0.05,
                    null or [],
                    60 if null else None,
                    "qr rd ra",
                    15,
                    query_bytes,
                    size,
                    number,
                )
            )
            continue
        held = cache.get(key)
        if held is not None and held[0] > lookup.at:
            answer, left = held[1], int(held[0] - lookup.at) + 1
            ttl = min(answer.ttl, left) if answer.ttl is not None else None
            rows.append(
                (
                    *common,
                    answer.rcode,
                    "cached",
                    None,
                    None,
                    None,
                    0.04,
                    answer.data,
                    ttl,
                    "qr rd ra",
                    None,
                    query_bytes,
                    answer.size,
                    number,
                )
            )
            continue
        upstream = upstreams[0] if rng.random() < 0.8 else upstreams[1]
        if rng.random() < _LOSS:
            rows.append(
                (
                    *common,
                    "SERVFAIL",
                    "failed",
                    None,
                    None,
                    upstream,
                    4500.0,
                    [],
                    None,
                    "qr rd ra",
                    22,
                    query_bytes,
                    query_bytes + 6,
                    number,
                )
            )
            continue
        if lookup in hidden:
            answer = _told(hidden[lookup], lookup, query_bytes)
        else:
            answer = known.get(key) or known.setdefault(key, _answer(world, lookup.qname, lookup.qtype))
        if answer.keep:
            cache[key] = (lookup.at + answer.keep, answer)
        latency = min(1500.0, rng.lognormvariate(2.6 if upstream == upstreams[0] else 3.3, 0.6))
        rows.append(
            (
                *common,
                answer.rcode,
                "forwarded",
                None,
                None,
                upstream,
                latency,
                answer.data,
                answer.ttl,
                "qr rd ra",
                None,
                query_bytes,
                answer.size,
                number,
            )
        )
    columns = [n for n in schema.NAMES if n != "source"]
    by_column = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return {name: list(values) for name, values in zip(columns, by_column, strict=True)}


class _Answer:
    """What the world says to one question: `keep` is the seconds that a cache holds it."""

    __slots__ = ("data", "keep", "rcode", "size", "ttl")

    def __init__(self, rcode: str, data: list[str], ttl: int | None, keep: int, size: int) -> None:
        self.rcode = rcode
        self.data = data
        self.ttl = ttl
        self.keep = keep
        self.size = size


def _answer(world: World, qname: str, qtype: str) -> _Answer:
    wire = world.reply(bytes(dnslib.DNSRecord.question(qname, qtype).pack()), stream=True).wire
    if wire is None:
        return _Answer("SERVFAIL", [], None, 0, 0)
    record = dnslib.DNSRecord.parse(wire)
    ttls = [rr.ttl for rr in record.rr]
    negative = [rr.ttl for rr in record.auth]
    data = [str(rr.rdata).rstrip(".") if rr.rtype == dnslib.QTYPE.CNAME else str(rr.rdata) for rr in record.rr]
    ttl = min(ttls) if ttls else None
    return _Answer(dnslib.RCODE.get(record.header.rcode), data, ttl, min(ttls or negative or [0]), len(wire) + 11)


def _told(infection: Infection, lookup: Lookup, query_bytes: int) -> _Answer:
    told = infection.told(lookup)
    size = query_bytes + sum(12 + max(len(data), 4) for data in told.data)
    keep = 0 if told.rcode == "SERVFAIL" else 60 if told.ttl is None else told.ttl
    return _Answer(told.rcode, told.data, told.ttl, keep, size)


def _suffix_in(qname: str, domains: frozenset[str]) -> str | None:
    labels = qname.split(".")
    for n in range(len(labels)):
        suffix = ".".join(labels[n:])
        if suffix in domains:
            return suffix
    return None
