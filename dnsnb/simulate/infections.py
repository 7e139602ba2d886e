"""What can be hidden in a day of traffic, one class a kind: when it asks, what it is answered, and what is true of it.

Pure: the same for the same seed. Every answer is its own, so that its names need not exist in the made-up internet.
"""

from __future__ import annotations

import hashlib
import random
from base64 import b32encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dnsnb.simulate.traffic import LAPTOP, NAS, PHONE, TABLET, THERMOSTAT, TV, Lookup
from dnsnb.simulate.world import TUNNEL


class Told(NamedTuple):
    """The answer that an infected client gets; `ttl` None where there is no record."""

    rcode: str
    data: list[str]
    ttl: int | None


class Infection(Protocol):
    """Something hidden in the traffic."""

    @property
    def what(self) -> str:
        """Its kind, by the detectors' words."""

    @property
    def client(self) -> str:
        """The address of who asks."""

    @property
    def domain(self) -> str:
        """The registered domain that it is about, "" when there are many."""

    @property
    def said(self) -> str:
        """Its settings in a few words."""

    def lookups(self, seed: int, seconds: float) -> Iterator[Lookup]:
        """Yield its questions of `seconds`, in order of time."""

    def told(self, lookup: Lookup) -> Told:
        """Return what one of its questions is answered."""


def _domain(qname: str) -> str:
    return ".".join(qname.split(".")[-2:])


def _span(start: float, length: float | None, seconds: float) -> tuple[float, float]:
    return start, seconds if length is None else min(seconds, start + length)


@dataclass(frozen=True, slots=True)
class Beacon:
    """A program that calls home every `period` seconds, up to `jitter` (0-1) of it early or late; `loss` (0-1) of the
    calls never come."""

    client: str = THERMOSTAT
    qname: str = "check-in.pale-lantern.example"
    period: float = 300.0
    jitter: float = 0.0
    loss: float = 0.0
    start: float = 0.0
    length: float | None = None
    ttl: int = 5
    what: str = "beacon"

    @property
    def domain(self) -> str:
        return _domain(self.qname)

    @property
    def said(self) -> str:
        return f"every {self.period:g} s, jitter {self.jitter:.0%}, loss {self.loss:.0%}"

    def lookups(self, seed: int, seconds: float) -> Iterator[Lookup]:
        rng = random.Random(f"beacon {self.client} {self.qname} {seed}")
        at, end = _span(self.start, self.length, seconds)
        at += rng.uniform(0, self.period)
        while at < end:
            if rng.random() >= self.loss:
                yield Lookup(round(at, 6), self.client, self.qname, "A")
            at += self.period * rng.uniform(1 - self.jitter, 1 + self.jitter)

    def told(self, lookup: Lookup) -> Told:
        return Told("NOERROR", ["203.0.113.66"], self.ttl)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Data carried out in names: `per_second` questions of about `size` bytes below `zone`, for `length` seconds."""

    client: str = NAS
    zone: str = TUNNEL
    per_second: float = 1.5
    size: int = 60
    types: tuple[str, ...] = ("TXT", "TXT", "TXT", "CNAME", "MX")
    start: float = 36_000.0
    length: float | None = 600.0
    what: str = "tunnel"

    @property
    def domain(self) -> str:
        return _domain(self.zone)

    @property
    def said(self) -> str:
        return f"{self.per_second:g} questions/s of {self.size} bytes, {'/'.join(dict.fromkeys(self.types))}"

    def lookups(self, seed: int, seconds: float) -> Iterator[Lookup]:
        rng = random.Random(f"tunnel {self.client} {self.zone} {seed}")
        at, end = _span(self.start, self.length, seconds)
        number = 0
        while at < end:
            data = b32encode(number.to_bytes(4) + rng.randbytes(max(self.size, 5) - 4)).decode().rstrip("=").lower()
            labels = ".".join(data[n : n + 57] for n in range(0, len(data), 57))
            yield Lookup(round(at, 6), self.client, f"{labels}.{self.zone}", rng.choice(self.types))
            number += 1
            at += rng.expovariate(self.per_second)

    def told(self, lookup: Lookup) -> Told:
        digest = hashlib.blake2b(lookup.qname.encode()).hexdigest()
        data = digest if lookup.qtype == "TXT" else f"{digest[:40]}.{self.zone}"
        return Told("NOERROR", [f'"{data}"' if lookup.qtype == "TXT" else data], 0)


@dataclass(frozen=True, slots=True)
class Dga:
    """A client that walks through the day's names of a domain generation algorithm; none of them is registered.

    `algorithm` is the seed that the malware's author chose: the same gives the same names.
    """

    client: str = LAPTOP
    algorithm: int = 0x5EED
    names: int = 120
    every: float = 2.0
    top_level: str = "example"
    start: float = 50_000.0
    what: str = "dga"

    @property
    def domain(self) -> str:
        return ""

    @property
    def said(self) -> str:
        return f"{self.names} names below .{self.top_level}, one every {self.every:g} s"

    def generate(self) -> list[str]:
        """Return the names that the algorithm gives, in its order."""
        made, state = [], hashlib.sha256(str(self.algorithm).encode()).digest()
        for _ in range(self.names):
            state = hashlib.sha256(state).digest()
            letters = "".join(chr(97 + octet % 26) for octet in state[: 11 + state[31] % 9])
            made.append(f"{letters}.{self.top_level}")
        return made

    def lookups(self, seed: int, seconds: float) -> Iterator[Lookup]:
        rng = random.Random(f"dga {self.client} {self.algorithm} {seed}")
        at = self.start
        for name in self.generate():
            if at >= seconds:
                return
            yield Lookup(round(at, 6), self.client, name, "A")
            at += rng.expovariate(1 / self.every)

    def told(self, lookup: Lookup) -> Told:
        return Told("NXDOMAIN", [], None)


@dataclass(frozen=True, slots=True)
class Rebinding:
    """A page whose name first answers outside, then, its TTL over, an address of the inside."""

    client: str = TABLET
    qname: str = "r7.open-stage.example"
    outside: str = "203.0.113.80"
    inside: str = "192.168.1.1"
    ttl: int = 1
    start: float = 64_000.0
    what: str = "rebinding"

    @property
    def domain(self) -> str:
        return _domain(self.qname)

    @property
    def said(self) -> str:
        return f"{self.outside} -> {self.inside}, TTL {self.ttl} s"

    def lookups(self, seed: int, seconds: float) -> Iterator[Lookup]:
        for n in range(4):
            at = self.start + n * (self.ttl + 0.5)
            if at < seconds:
                yield Lookup(round(at, 6), self.client, self.qname, "A")

    def told(self, lookup: Lookup) -> Told:
        first = lookup.at < self.start + self.ttl
        return Told("NOERROR", [self.outside if first else self.inside], self.ttl)


@dataclass(frozen=True, slots=True)
class Burst:
    """A client gone wild: `per_second` questions for the same few names, for `length` seconds."""

    client: str = TV
    zone: str = "retry-storm.example"
    per_second: float = 25.0
    start: float = 57_600.0
    length: float = 120.0
    what: str = "burst"

    @property
    def domain(self) -> str:
        return _domain(self.zone)

    @property
    def said(self) -> str:
        return f"{self.per_second:g} questions/s for {self.length:g} s"

    def lookups(self, seed: int, seconds: float) -> Iterator[Lookup]:
        rng = random.Random(f"burst {self.client} {self.zone} {seed}")
        at, end = _span(self.start, self.length, seconds)
        while at < end:
            yield Lookup(round(at, 6), self.client, f"{rng.choice(('api', 'cdn', 'push'))}.{self.zone}", "A")
            at += rng.expovariate(self.per_second)

    def told(self, lookup: Lookup) -> Told:
        return Told("SERVFAIL", [], None)


@dataclass(frozen=True, slots=True)
class FastFlux:
    """A name that hides its host behind many: each answer a few of `hosts` addresses all over the network's map.

    The addresses are those set aside for benchmarks (198.18.0.0/15), one /24 a host: give the detector a table of them.
    """

    client: str = PHONE
    qname: str = "cheap-pills.swift-shell.example"
    hosts: int = 60
    at_once: int = 5
    ttl: int = 60
    every: float = 400.0
    start: float = 0.0
    length: float | None = None
    what: str = "fast flux"

    @property
    def domain(self) -> str:
        return _domain(self.qname)

    @property
    def said(self) -> str:
        return f"{self.hosts} hosts, {self.at_once} an answer, TTL {self.ttl} s"

    def lookups(self, seed: int, seconds: float) -> Iterator[Lookup]:
        rng = random.Random(f"flux {self.client} {self.qname} {seed}")
        at, end = _span(self.start, self.length, seconds)
        at += rng.expovariate(1 / self.every)
        while at < end:
            yield Lookup(round(at, 6), self.client, self.qname, "A")
            at += rng.expovariate(1 / self.every)

    def told(self, lookup: Lookup) -> Told:
        rng = random.Random(f"{self.qname} {int(lookup.at // max(self.ttl, 1))}")
        chosen = rng.sample(range(self.hosts), min(self.at_once, self.hosts))
        return Told("NOERROR", [f"198.{18 + n // 256 % 2}.{n % 256}.{1 + n * 37 % 254}" for n in chosen], self.ttl)


def networks() -> list[dict[str, object]]:
    """Return a made-up table of autonomous systems for the made-up addresses: `network` (CIDR), `asn`, `name`."""
    documentation = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    table: list[dict[str, object]] = [
        {"network": network, "asn": 64496 + n, "name": "EDGE-LATTICE"} for n, network in enumerate(documentation)
    ]
    return table + [{"network": f"198.18.{n}.0/24", "asn": 65000 + n, "name": f"HOMES-{n}"} for n in range(256)]
