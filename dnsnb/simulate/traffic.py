"""Who asks for what, and when: a seeded household of clients with their habits, and what hides among them.

Pure: yields look-ups in order of time. Sends nothing.
"""

from __future__ import annotations

import heapq
import random
from base64 import b32encode
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from dnsnb.simulate.world import ADS, BEACON, TUNNEL, World

if TYPE_CHECKING:
    from dnsnb.simulate.infections import Infection


class Lookup(NamedTuple):
    """One question: `at` in seconds from the start, the asker's address, the name (text, no final dot) and the type."""

    at: float
    client: str
    qname: str
    qtype: str


#: The household, by address. All are loopback addresses, so that a real socket can ask from each.
CLIENTS: dict[str, str] = {
    "127.0.2.11": "tv",
    "127.0.2.12": "laptop",
    "127.0.2.13": "phone",
    "127.0.2.14": "tablet",
    "127.0.2.20": "thermostat",
    "127.0.2.21": "camera",
    "127.0.2.30": "nas",
}

TV, LAPTOP, PHONE, TABLET, THERMOSTAT, CAMERA, NAS = CLIENTS

# share of the household's page visits, and how likely a visit brings advertising
_VISITORS = {TV: (0.18, 0.9), LAPTOP: (0.34, 0.5), PHONE: (0.30, 0.6), TABLET: (0.18, 0.6)}
_ALIKE = {"tv": TV, "laptop": LAPTOP, "phone": PHONE, "tablet": TABLET}
_LOOKUPS_A_VISIT = 9.0  # measured over the model below

# relative activity by hour of the day: nights are quiet
_HOURS = (2, 1, 1, 1, 1, 2, 5, 8, 9, 8, 8, 8, 9, 9, 8, 8, 9, 10, 12, 14, 15, 14, 10, 5)


# what there is in a larger house, in turn; a speaker is asked for by what the others have not: clockwork by TTL
_MORE = ("laptop", "phone", "tablet", "tv", "thermostat", "camera", "nas", "speaker")


def household(clients: int = 7) -> dict[str, str]:
    """Return address -> name of so many clients (7 to 1,000): `CLIENTS`, then more of the same kinds."""
    if not len(CLIENTS) <= clients <= 1000:
        raise ValueError(f"clients: {clients!r}: must be from {len(CLIENTS)} to 1000")
    more = range(clients - len(CLIENTS))
    return CLIENTS | {f"127.0.{3 + n // 200}.{11 + n % 200}": f"{_MORE[n % 8]}-{n // 8 + 2}" for n in more}


def traffic(
    seed: int = 1,
    seconds: float = 60.0,
    rate: float = 20.0,
    *,
    world: World | None = None,
    threats: bool = True,
    daily: bool = False,
    start_hour: float = 0.0,
    clients: int = 7,
    infected: Iterable[Infection] = (),
) -> Iterator[Lookup]:
    """Yield the household's look-ups in order of time, the same for the same arguments.

    `rate` is the mean number of look-ups a second; sites are chosen by Zipf's law. `threats` hides a beacon in the
    camera's traffic (every 60 s), a tunnel in the NAS's and a burst of a domain generation algorithm (DGA) in the
    laptop's. `daily` gives busy evenings and quiet nights, `start_hour` being the hour at second 0. `clients` is the
    size of the household; `infected` adds what dnsnb.simulate.infections has, of your own settings.
    """
    world = world or World(seed)
    more = list(household(clients).items())[len(CLIENTS) :]
    visitors = {
        address: _VISITORS[_ALIKE[kind]] for address, name in more if (kind := name.partition("-")[0]) in _ALIKE
    }
    alone = rate * len(_VISITORS) / (len(_VISITORS) + len(visitors))
    streams = [
        _browsing(f"browsing {seed}", seconds, alone, world, daily, start_hour, _VISITORS),
        *_devices(seed, seconds),
    ]
    if visitors:
        streams.append(_browsing(f"more {seed}", seconds, rate - alone, world, daily, start_hour, visitors))
    for address, name in more:
        streams += _more_devices(seed, seconds, address, name, world)
    if threats:
        streams += [_beacon(seed, seconds), _tunnel(seed, seconds), _dga(seed, seconds)]
    streams += [infection.lookups(seed, seconds) for infection in infected]
    return heapq.merge(*streams)


def _browsing(
    seed: str,
    seconds: float,
    rate: float,
    world: World,
    daily: bool,
    start_hour: float,
    visitors: dict[str, tuple[float, float]],
) -> Iterator[Lookup]:
    rng = random.Random(seed)
    weights = list(accumulate(1 / (n + 1) ** 0.9 for n in range(len(world.sites))))
    clients = list(visitors)
    shares = [visitors[c][0] for c in clients]
    mean = sum(_HOURS) / len(_HOURS)
    busiest = max(_HOURS) / mean if daily else 1.0
    visits = max(rate / _LOOKUPS_A_VISIT, 1e-6) * busiest
    waiting: list[Lookup] = []  # what a page still asks for after it was opened
    at = 0.0
    while True:
        at += rng.expovariate(visits)
        while waiting and waiting[0].at <= min(at, seconds):
            yield heapq.heappop(waiting)
        if at >= seconds:
            return
        if daily:
            hour = (start_hour + at / 3600) % 24
            if rng.random() > _HOURS[int(hour)] / mean / busiest:
                continue
        client = rng.choices(clients, shares)[0]
        site = rng.choices(world.sites, cum_weights=weights)[0]
        for lookup in _page(rng, at, client, site, visitors[client][1]):
            heapq.heappush(waiting, lookup)


def _page(rng: random.Random, at: float, client: str, site: str, ads: float) -> Iterator[Lookup]:
    """What one opened page asks for: the site, its content hosts, and its advertisers."""
    types = ("A", "AAAA", "HTTPS") if client != TV else ("A", "AAAA")

    def ask(name: str, after: float) -> Iterator[Lookup]:
        for n, qtype in enumerate(types):
            yield Lookup(round(at + after + n * 0.0004, 6), client, name, qtype)

    yield from ask(f"www.{site}", 0.0)
    for host in ("cdn", "img", "api", "static"):
        if rng.random() < 0.3:
            yield from ask(f"{host}.{site}", rng.uniform(0.05, 0.6))
    if rng.random() < 0.12:
        yield from ask(f"metrics.{site}", rng.uniform(0.2, 1.0))
    if rng.random() < ads:
        for domain in rng.sample(ADS, rng.randint(1, 2)):
            yield from ask(f"{rng.choice(('ads', 'px', 'sync', 'static'))}.{domain}", rng.uniform(0.1, 1.5))


#: what things say: kind -> period in seconds, irregular share, questions
_CHATTER: dict[str, tuple[float, float, tuple[tuple[str, str], ...]]] = {
    "thermostat": (
        300, 0.7, (("telemetry.vendor-cloud.example", "A"), ("telemetry.vendor-cloud.example", "AAAA"))
    ),
    "nas": (240, 0.8, (("ntp.timekeeper.example", "A"), ("ntp.timekeeper.example", "AAAA"))),
    "camera": (420, 0.8, (("stream.vendor-cloud.example", "A"),)),
    "tv": (90, 0.8, (("logs.vendor-cloud.example", "A"),)),
}  # fmt: skip


def _devices(seed: int, seconds: float) -> list[Iterator[Lookup]]:
    """The chatter of things: clocks, telemetry, updates."""
    of = {name: address for address, name in CLIENTS.items()}
    return [_chatter(seed, seconds, of[kind], *_CHATTER[kind]) for kind in _CHATTER]


def _more_devices(seed: int, seconds: float, client: str, name: str, world: World) -> Iterator[Iterator[Lookup]]:
    kind = name.partition("-")[0]
    if kind in _CHATTER:
        yield _chatter(seed, seconds, client, *_CHATTER[kind])
    elif kind == "speaker":
        yield _caching(seed, seconds, client, f"{name}.vendor-cloud.example", world)


def _chatter(
    seed: int, seconds: float, client: str, period: float, jitter: float, questions: tuple[tuple[str, str], ...]
) -> Iterator[Lookup]:
    rng = random.Random(f"{client} {questions} {seed}")
    at = rng.uniform(0, min(period, seconds))
    while at < seconds:
        for n, (name, qtype) in enumerate(questions):
            yield Lookup(round(at + n * 0.0004, 6), client, name, qtype)
        # people's things are late as often as not: an exponential part keeps them from looking like clockwork
        at += period * (1 - jitter) + rng.expovariate(1 / (period * jitter))


def _caching(seed: int, seconds: float, client: str, qname: str, world: World) -> Iterator[Lookup]:
    """A thing that always needs its name, and has a cache: it asks again whenever the TTL has ended, by the clock."""
    rng = random.Random(f"{client} {qname} {seed}")
    at = rng.uniform(0, 60)
    while at < seconds:
        yield Lookup(round(at, 6), client, qname, "A")
        at += world.ttl(qname) + rng.uniform(0.05, 0.9)


def _beacon(seed: int, seconds: float) -> Iterator[Lookup]:
    rng = random.Random(f"beacon {seed}")
    at = min(4.0, seconds / 10)
    while at < seconds:
        yield Lookup(round(at, 6), CAMERA, BEACON, "A")
        at += 60 * rng.uniform(0.95, 1.05)


def _tunnel(seed: int, seconds: float) -> Iterator[Lookup]:
    rng = random.Random(f"tunnel {seed}")
    at, end = seconds * 0.35, seconds * 0.35 + min(seconds * 0.2, 600)
    number = 0
    while at < end:
        data = b32encode(number.to_bytes(4) + rng.randbytes(56)).decode().rstrip("=").lower()
        yield Lookup(
            round(at, 6), NAS, f"{data[:58]}.{data[58:]}.{TUNNEL}", rng.choice(("TXT", "TXT", "TXT", "CNAME", "MX"))
        )
        number += 1
        at += rng.expovariate(1.6)


def _dga(seed: int, seconds: float) -> Iterator[Lookup]:
    rng = random.Random(f"dga {seed}")
    at = seconds * 0.7
    for _ in range(min(120, max(10, int(seconds)))):
        if at >= seconds:
            return
        name = "".join(
            rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", weights=[3] * 26 + [1] * 10, k=rng.randint(11, 19))
        )
        yield Lookup(round(at, 6), LAPTOP, f"{name}.example", "A")
        at += rng.expovariate(2.0)
