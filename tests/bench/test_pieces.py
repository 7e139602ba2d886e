"""What the pieces on a question's way cost: `make bench-pieces`. In the ordinary run each is only seen to work."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from dnsnb import LiveFrame, schema
from dnsnb.dns.engine import Engine
from dnsnb.dns.forwarding import Forwarder
from dnsnb.dns.journal import LogBatch
from dnsnb.dns.policy import Policy
from dnsnb.dns.reading import read_answer
from dnsnb.dns.upstream import Target
from dnsnb.dns.wire import Question, read_query, text_to_name
from dnsnb.sse import Decoder

ROWS = 512
RULES = 10_000

Benchmark = Callable[..., Any]


class Prompt:
    """An upstream that answers at once."""

    name = "192.0.2.53"

    def send(self, query: bytes, done: Callable[[bytes | None, str], None], deadline: float) -> None:
        done(reply(query), "")

    def close(self) -> None:
        return


def query(name: str) -> bytes:
    return random.randbytes(2) + b"\1\0\0\1\0\0\0\0\0\0" + text_to_name(name) + b"\0\1\0\1"


def reply(asked: bytes) -> bytes:
    end = asked.index(b"\0", 12) + 5
    record = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"
    return asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:end] + record


def engine(policy: Policy | None = None) -> Engine:
    forwarder = Forwarder([Target(Prompt())], clock=time.monotonic, later=lambda _seconds, _function: None)
    return Engine(policy or Policy(), forwarder)


def known(name: str = "www.cached.example.com") -> tuple[Engine, bytes]:
    """An engine, and a question that it has the answer to."""
    made, asked = engine(), query(name)
    for _ in range(3):
        if made.answer_now(asked, "127.0.0.1") is None:
            made.ask(asked, "127.0.0.1", "udp", lambda _reply: None)
    return made, asked


def batch() -> schema.Columns:
    made, asked = known()
    made.drain()
    made.answer_many([asked] * ROWS, ["127.0.0.1"] * ROWS)
    drained = made.drain()
    assert drained is not None
    assert drained.count == ROWS
    return drained.columns


def test_answer_now_of_what_is_remembered(benchmark: Benchmark) -> None:
    made, asked = known()
    assert benchmark(made.answer_now, asked, "127.0.0.1")[3] & 15 == 0


def test_answer_many_of_what_is_remembered(benchmark: Benchmark) -> None:
    made, asked = known()
    assert None not in benchmark(made.answer_many, [asked] * 64, ["127.0.0.1"] * 64)


def test_a_question_asked_answered_and_kept(benchmark: Benchmark) -> None:
    made, numbers = engine(), iter(range(10**9))
    replies: list[bytes] = []

    def once() -> None:
        asked = query(f"n{next(numbers)}.fresh.example.com")
        assert made.answer_now(asked, "127.0.0.1") is None
        replies.clear()
        made.ask(asked, "127.0.0.1", "udp", replies.append)

    benchmark(once)
    assert len(replies) == 1


def test_a_rule_matched(benchmark: Benchmark) -> None:
    policy = Policy()
    policy.load("bench", "".join(f"0.0.0.0 host-{n}.example\n" for n in range(RULES)))
    rules = policy.rules_for("127.0.0.1")
    names = [text_to_name(f"www.host-{n}.example") for n in range(0, RULES, 7)] + [text_to_name("host-5.example")]
    assert benchmark(lambda: [rules.decide(name).action for name in names])[-1] == "block"


def test_a_query_read(benchmark: Benchmark) -> None:
    assert benchmark(read_query, query("www.cached.example.com")).question.qtype == 1


def test_an_answer_read_in_full(benchmark: Benchmark) -> None:
    asked = query("www.cached.example.com")
    question = Question(text_to_name("www.cached.example.com"), 1, 1, False, False)
    assert benchmark(read_answer, reply(asked), question).ttl == 300


def test_the_journal_drained(benchmark: Benchmark) -> None:
    made, asked = known()

    def fill() -> tuple[tuple[()], dict[str, Any]]:
        made.answer_many([asked] * ROWS, ["127.0.0.1"] * ROWS)
        return (), {}

    made.drain()
    assert benchmark.pedantic(made.drain, setup=fill, rounds=50).count == ROWS  # type: ignore[attr-defined]


def test_a_batch_encoded(benchmark: Benchmark) -> None:
    columns = batch()
    assert benchmark(lambda: LogBatch(columns, ROWS).json)


def test_a_batch_decoded(benchmark: Benchmark) -> None:
    data = LogBatch(batch(), ROWS).json
    message = b'id: 1-1\ndata: {"type":"dns/log/event","data":%b,"timestamp":1}\n\n' % data
    assert len(benchmark(lambda: Decoder().feed(message))) == 1


def test_a_frame_extended(benchmark: Benchmark) -> None:
    frame, columns = LiveFrame(limit=100_000), batch()
    benchmark(lambda: frame.extend(columns))
    assert len(frame) >= ROWS


@pytest.mark.parametrize("rows", [100_000])
def test_a_snapshot_after_a_batch(benchmark: Benchmark, rows: int) -> None:
    frame, columns = LiveFrame(limit=rows), batch()
    for _ in range(rows // ROWS):
        frame.extend(columns)

    def renewed() -> int:
        frame.extend(columns)
        return len(frame.snapshot())

    assert benchmark(renewed) > rows // 2
