"""`/metrics`: the counters of engine, upstreams and stream in the text format of Prometheus. Reads; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from dnsnb.server.server import Server

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Collected:
    """What prometheus-client's writer wants of a registry: the families, made beforehand in the loop's thread."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def render(families: list[Metric]) -> bytes:
    """Return families as text."""
    from prometheus_client import generate_latest

    text: bytes = generate_latest(_Collected(families))
    return text


def collect(server: Server) -> list[Metric]:
    """Return all families as they are now; in the loop's thread."""
    return [*_engine(server), *_upstreams(server), *_stream(server.responder.stats())]


def _engine(server: Server) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge

    queries = Counter("dnsnb_queries", "Queries answered, by what became of them", labels=["status"])
    for status, count in server.engine.counts.items():
        queries.add_metric([status], count)
    yield queries
    cache = server.engine.cache
    yield Gauge("dnsnb_cache_entries", "Answers in the cache", value=len(cache))
    yield Gauge("dnsnb_cache_bytes", "Memory of the cache, bytes", value=cache.bytes)
    yield Counter("dnsnb_cache_hits", "Questions answered from the cache", value=cache.hits)
    yield Counter("dnsnb_cache_misses", "Questions the cache had no answer for", value=cache.misses)
    yield Counter("dnsnb_cache_stale", "Answers given after their end", value=cache.stale)
    yield Counter("dnsnb_cache_evictions", "Answers that made room for others", value=cache.evictions)
    yield Counter("dnsnb_log_dropped", "Rows of the log that were dropped", value=server.storage.log_dropped)
    yield Gauge("dnsnb_log_rows", "Rows that the log driver keeps", value=server.storage.log_count)
    yield Gauge("dnsnb_running", "Whether DNS is answered", value=int(server.running))
    rules = Gauge("dnsnb_list_rules", "Rules of a list", labels=["list"])
    for name, item in server.policy.lists.items():
        rules.add_metric([name], item.count)
    yield rules
    yield Gauge("dnsnb_upstream_pending", "Questions in flight", value=len(server.forwarder.pending))
    yield Counter(
        "dnsnb_upstream_ignored", "Messages that answered nothing that was asked", value=server.forwarder.ignored
    )


def _upstreams(server: Server) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge

    sent = Counter("dnsnb_upstream_sent", "Questions sent to an upstream", labels=["upstream"])
    answered = Counter("dnsnb_upstream_answered", "Answers of an upstream", labels=["upstream"])
    lost = Counter("dnsnb_upstream_lost", "Questions that an upstream left without an answer", labels=["upstream"])
    up = Gauge("dnsnb_upstream_up", "Whether an upstream counts as up", labels=["upstream"])
    seconds = Gauge("dnsnb_upstream_seconds", "Smoothed answer time of an upstream", labels=["upstream"])
    for target in server.forwarder.targets:
        label = [target.name]
        sent.add_metric(label, target.sent)
        answered.add_metric(label, target.answered)
        lost.add_metric(label, target.lost)
        up.add_metric(label, int(target.state != "down"))
        if target.srtt is not None:
            seconds.add_metric(label, target.srtt)
    yield from (sent, answered, lost, up, seconds)


def _stream(stats: dict[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge

    yield Gauge("dnsnb_sse_connections", "Streams that are open", value=stats["connections"])
    yield Counter("dnsnb_sse_accepted", "Streams that were opened", value=stats["accepted"])
    yield Counter("dnsnb_sse_rejected", "Streams that were refused for want of room", value=stats["rejected"])
    yield Counter("dnsnb_sse_stalled", "Streams that were ended because nobody read them", value=stats["stalled"])
    yield Counter("dnsnb_sse_dropped", "Events that slow readers or late ones lost", value=stats["dropped"])
    replay = stats["replay"]
    yield Counter("dnsnb_sse_replayed", "Events that were sent again after a reconnection", value=replay["events"])
    outcomes = Counter("dnsnb_sse_resumed", "Reconnections by what became of them", labels=["outcome"])
    for outcome in ("hits", "gaps", "resets"):
        outcomes.add_metric([outcome], replay[outcome])
    yield outcomes
    yield Gauge("dnsnb_sse_replay_events", "Events held for replay", value=replay["held_events"])
    yield Gauge("dnsnb_sse_replay_bytes", "Memory of events held for replay, bytes", value=replay["held_bytes"])
    emitted = Counter("dnsnb_sse_emitted", "Events of a channel", labels=["channel"])
    sent = Counter("dnsnb_sse_sent", "Events of a channel, times the streams that got them", labels=["channel"])
    sizes = Counter("dnsnb_sse_sent_bytes", "Bytes sent on a channel", labels=["channel"])
    for channel, counts in stats["channels"].items():
        emitted.add_metric([channel], counts["emitted"])
        sent.add_metric([channel], counts["sent"])
        sizes.add_metric([channel], counts["bytes"])
    yield from (emitted, sent, sizes)
    clients = stats["clients"]
    yield Gauge("dnsnb_sse_queue_max", "Most entries that wait for one stream", value=_most(clients, "queue"))
    yield Gauge("dnsnb_sse_lag_max_seconds", "Age of the oldest of them", value=_most(clients, "lag_ms") / 1000)


def _most(clients: list[dict[str, Any]], key: str) -> int:
    return max((client[key] for client in clients), default=0)
