"""The event stream's bytes: every case whole, byte by byte and in random cuts; what is encoded comes out again."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsnb import sse
from dnsnb.sse import Decoder, Message, MessageTooLarge, encode


def m(data: str, event: str = "message", id: str = "") -> Message:  # noqa: A002
    return Message(data, event, id)


# name -> (bytes, messages, last event id, retry); the cases of the WHATWG text and of the web platform tests
CASES: dict[str, tuple[bytes, list[Message], str, int | None]] = {
    "nothing": (b"", [], "", None),
    "the example of the text": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [m("YHOO\n+2\n10")], "", None),
    "comments, an id, an id cleared": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [m("first event", id="1"), m("second event"), m(" third event")],
        "",
        None,
    ),
    "empty data lines": (b"data\n\ndata\ndata\n\ndata:", [m(""), m("\n")], "", None),
    "one space is not data": (b"data:test\n\ndata: test\n\n", [m("test"), m("test")], "", None),
    "lf": (b"data:a\ndata:b\n\n", [m("a\nb")], "", None),
    "cr": (b"data:a\rdata:b\r\r", [m("a\nb")], "", None),
    "crlf": (b"data:a\r\ndata:b\r\n\r\n", [m("a\nb")], "", None),
    "line ends mixed": (b"data:a\r\ndata:b\n\rdata:c\r\n\n", [m("a\nb"), m("c")], "", None),
    "cr then lf of an empty line": (b"data:a\n\r\ndata:b\n\n", [m("a"), m("b")], "", None),
    "one byte order mark": (b"\xef\xbb\xbfdata:1\n\n", [m("1")], "", None),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\n", [m("2")], "", None),
    "a mark inside is text": (b"data:\xef\xbb\xbf1\n\n\xef\xbb\xbfdata:2\n\n", [m("\ufeff1")], "", None),
    "half a mark": (b"\xef\xbbdata:1\n\ndata:2\n\n", [m("2")], "", None),
    "bytes that are not utf-8": (b"data:\xffok\xc3(\n\n", [m("\ufffdok\ufffd(")], "", None),
    "a code point that ends too early": (b"data:\xf0\x9f\x98\n\n", [m("\ufffd")], "", None),
    "utf-8": ("data:ok…😀\n\n".encode(), [m("ok…😀")], "", None),
    "a nul in data is data": (b"data:a\0b\n\n", [m("a\0b")], "", None),
    "a nul in an id is ignored": (
        b"id: 1\ndata:a\n\nid: 2\x003\ndata:b\n\n",
        [m("a", id="1"), m("b", id="1")],
        "1",
        None,
    ),
    "an id alone moves the id": (b"id: 7\n\n", [], "7", None),
    "an id without an end does not": (b"id: 1\ndata:a\n\nid: 2\ndata:b\n", [m("a", id="1")], "1", None),
    "an empty id clears": (b"id: 1\ndata:a\n\nid:\ndata:b\n\n", [m("a", id="1"), m("b")], "", None),
    "an id holds on": (b"id: 1\ndata:a\n\ndata:b\n\n", [m("a", id="1"), m("b", id="1")], "1", None),
    "an id may have spaces and colons": (b"id:  a:b \ndata:a\n\n", [m("a", id=" a:b ")], " a:b ", None),
    "an event type": (b"event: x\ndata:a\n\ndata:b\n\n", [m("a", "x"), m("b")], "", None),
    "an event type without data is forgotten": (b"event: x\n\ndata:b\n\n", [m("b")], "", None),
    "an empty event type": (b"event: x\nevent\ndata:a\n\n", [m("a")], "", None),
    "the last event type counts": (b"event: x\nevent: y\ndata:a\n\n", [m("a", "y")], "", None),
    "unknown and misspelled fields": (
        b"Data:x\n data:x\ndata :x\nunknown: y\njust text\ndata:a\n\n",
        [m("a")],
        "",
        None,
    ),
    "a comment in between": (b"data:a\n:data:x\n:\ndata:b\n\n", [m("a\nb")], "", None),
    "retry": (b"retry: 2500\n\n", [], "", 2500),
    "retry with other than digits": (b"retry: 2500\nretry: 1_000\nretry: +5\nretry: 5.5\nretry:\n\n", [], "", 2500),
    "retry in other digits": ("retry: ٣٣\n\n".encode(), [], "", None),
    "retry beyond measure": (b"retry: " + b"9" * 5000 + b"\n\n", [], "", sse.MAX_RETRY_MS),
    "retry with zeros before": (b"retry: 0000000000000500\n\n", [], "", 500),
    "retry of nothing": (b"retry: 0\n\n", [], "", sse.MIN_RETRY_MS),
    "two spaces leave one": (b"retry:  500\ndata:  a\n\n", [m(" a")], "", None),
    "other line ends are text": (
        "data:a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i\n\n".encode(),
        [m("a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i")],
        "",
        None,
    ),
    "the unfinished is dropped": (b"data:a\n\ndata:b\nid:9\ndata:c", [m("a")], "", None),
}


def feed(decoder: Decoder, raw: bytes, size: int) -> list[Message]:
    return [message for at in range(0, len(raw), size) for message in decoder.feed(raw[at : at + size])]


@pytest.mark.parametrize("name", CASES)
def test_case_whole_bytewise_and_cut_anywhere(name: str) -> None:
    raw, messages, last_id, retry = CASES[name]
    chooser = random.Random(name)
    cuts = [[raw], [raw[n : n + 1] for n in range(len(raw))]]
    for _ in range(40):
        places = sorted(chooser.randrange(len(raw) + 1) for _ in range(chooser.randrange(1, 9)))
        cuts.append([raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)])
    for chunks in cuts:
        decoder = Decoder()
        found = [message for chunk in chunks for message in decoder.feed(chunk)]
        assert found == messages, chunks
        assert decoder.last_event_id == last_id, chunks
        assert decoder.retry_ms == retry, chunks


def test_cr_ends_a_message_at_once() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\r") == [m("a")]  # a server may wait here for ever
    assert decoder.feed(b"\ndata: b\n\n") == [m("b")]


def test_last_event_id_survives_a_connection_that_sends_none() -> None:
    decoder = Decoder(last_event_id="41-7")
    assert decoder.feed(b"data: a\n\n") == [m("a", id="41-7")]
    assert decoder.last_event_id == "41-7"


@pytest.mark.parametrize("size", [1, 1000, 65536])
def test_a_line_of_5_mib_takes_linear_time(size: int) -> None:
    """A quadratic decoder would take minutes for the small chunks."""
    length = 5 << 20 if size > 1 else 1 << 19
    raw = b"data:" + b"x" * length + b"\n\n"
    start = time.perf_counter()
    found = feed(Decoder(), raw, size)
    assert time.perf_counter() - start < 5
    assert [len(message.data) for message in found] == [length]


def test_many_lines_of_one_message_take_linear_time() -> None:
    start = time.perf_counter()
    found = Decoder().feed(b"data:x\n" * 500_000 + b"\n")
    assert time.perf_counter() - start < 5
    assert len(found[0].data) == 999_999


@pytest.mark.parametrize(
    "raw",
    [
        b"data:" + b"x" * 2000,  # an unfinished line
        b"data:" + b"x" * 2000 + b"\n",  # an unfinished message
        b"data:xxxxxxxx\n" * 200,  # of many lines
        b"unknown" * 300,
        b"event:" + b"x" * 2000 + b"\n",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_limit_counts_the_unfinished(raw: bytes, size: int) -> None:
    with pytest.raises(MessageTooLarge, match="1,000 bytes"):
        feed(Decoder(limit=1000), raw, size)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_limit_counts_no_comments_and_starts_anew_with_each_message(size: int) -> None:
    raw = (b": " + b"c" * 5000 + b"\n" + b"data: " + b"x" * 400 + b"\n\n") * 10
    assert len(feed(Decoder(limit=1000), raw, size)) == 10


one_line = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
events = st.tuples(st.text(st.characters(exclude_categories=["Cs"])), one_line, one_line)


@given(st.lists(events, max_size=8), st.randoms(use_true_random=False))
def test_encode_then_decode_is_the_identity(sent: list[tuple[str, str, str]], chooser: random.Random) -> None:
    raw = b"".join(encode(data, id=ident, event=event) for data, ident, event in sent)
    decoder, found = Decoder(), []
    at = 0
    while at < len(raw):
        step = chooser.randrange(1, 12)
        found += decoder.feed(raw[at : at + step])
        at += step
    wanted = [
        Message(data.replace("\r\n", "\n").replace("\r", "\n"), event or "message", ident)
        for data, ident, event in sent
    ]
    assert found == wanted


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_give_the_same_however_they_are_cut(one: bytes, two: bytes) -> None:
    whole, parts = Decoder(), Decoder()
    assert whole.feed(one + two) == parts.feed(one) + parts.feed(two)
    assert (whole.last_event_id, whole.retry_ms) == (parts.last_event_id, parts.retry_ms)


@pytest.mark.parametrize("what", ["id", "event"])
@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_encode_refuses_what_would_end_a_field(what: str, bad: str) -> None:
    with pytest.raises(ValueError, match=what):
        encode("x", **{what: bad})


def test_encode_keeps_hostile_data_inside_its_message() -> None:
    raw = encode("x\n\nid: 9\ndata: forged\r\rdata: too\ud800")
    assert Decoder().feed(raw) == [m("x\n\nid: 9\ndata: forged\n\ndata: too\ufffd")]


def test_retry_is_whole_milliseconds() -> None:
    assert encode("x", retry=1500) == b"retry: 1500\ndata: x\n\n"
    with pytest.raises(ValueError, match="retry"):
        encode("x", retry=-1)


def test_a_comment_is_no_message() -> None:
    assert Decoder().feed(sse.comment("a\nb\r\ndata: x") + sse.HEARTBEAT) == []


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("text/event-stream", True),
        ("text/event-stream;charset=utf-8", True),
        ("Text/Event-Stream ; charset=latin-1", True),
        ("text/event-stream-x", False),
        ("text/html", False),
        ("", False),
        (None, False),
    ],
)
def test_content_type(header: str | None, good: bool) -> None:
    assert sse.is_event_stream(header) is good
