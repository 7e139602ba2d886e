"""One question to any DNS server, and its answer for a person: `dnsnb query`. Blocking; everything shown is escaped."""

from __future__ import annotations

import secrets
import socket
import time
from typing import NamedTuple

from dnsnb.dns import wire
from dnsnb.dns.reading import read_answer
from dnsnb.dns.records import answer_texts
from dnsnb.dns.wire import Question
from dnsnb.errors import DnsnbError, SettingError, WireError
from dnsnb.server.listeners import format_address, parse_address
from dnsnb.server.upstreams import system_resolvers


class Reply(NamedTuple):
    """What came back: texts are printable ASCII; `latency_ms` from the question to the answer."""

    qname: str
    qtype: str
    rcode: str
    answers: list[str]
    ttl: int | None
    ede: int | None
    ede_text: str
    server: str
    transport: str
    latency_ms: float
    size: int


def ask(name: str, qtype: str = "A", server: str | None = None, *, tcp: bool = False, timeout: float = 5.0) -> Reply:
    """Ask, over UDP and again over TCP when the answer is cut; raises SettingError or DnsnbError."""
    try:
        qname = wire.text_to_name(name)
    except WireError as error:
        raise SettingError("name", name, str(error)) from None
    try:
        number = wire.qtype_number(qtype)
    except WireError:
        raise SettingError("type", qtype, "is no DNS type; write such as A, AAAA, HTTPS or TYPE65280") from None
    where = server if server is not None else system_resolvers()[0]
    host, port = parse_address(where, "--server")
    port = port or 53
    ident = secrets.token_bytes(2)
    query = ident + wire.make_query(qname, number)[2:]
    question = Question(qname, number, wire.IN, False, False)
    shown = format_address(host, port)
    began = time.perf_counter()
    try:
        message = _exchange_tcp(query, host, port, timeout) if tcp else _exchange_udp(query, host, port, timeout)
        if message[2] & 0x02 and not tcp:
            tcp = True
            message = _exchange_tcp(query, host, port, timeout)
    except TimeoutError:
        raise DnsnbError(f"no answer from {shown} within {timeout:g} s") from None
    except OSError as error:
        raise DnsnbError(f"{shown}: {error.strerror or error}") from None
    latency_ms = (time.perf_counter() - began) * 1000
    transport = "tcp" if tcp else "udp"
    try:
        answer = read_answer(message, question, ttl_cap=0x7FFFFFFF)
    except WireError as error:
        if len(message) >= 12 and message[4:6] == b"\0\0":  # a bare error carries no question
            rcode = wire.rcode_text(message[3] & 15)
            return Reply(wire.name_to_text(qname), wire.qtype_text(number), rcode, [], None, None, "", shown, transport,
                         latency_ms, len(message))  # fmt: skip
        raise DnsnbError(f"{shown} sent what can't be read: {error}") from None
    return Reply(
        wire.name_to_text(qname),
        wire.qtype_text(number),
        wire.rcode_text(answer.rcode),
        answer_texts(answer),
        answer.ttl,
        answer.ede,
        "".join(c if " " <= c <= "~" else "?" for c in answer.ede_text),
        shown,
        transport,
        latency_ms,
        len(message),
    )


def _exchange_udp(query: bytes, host: str, port: int, timeout: float) -> bytes:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        deadline = time.monotonic() + timeout
        sock.send(query)
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            message = sock.recv(65535)
            if message[:2] == query[:2] and len(message) >= 12 and message[2] & 0x80:
                return message
        raise TimeoutError


def _exchange_tcp(query: bytes, host: str, port: int, timeout: float) -> bytes:
    with socket.create_connection((host, port), timeout) as sock:
        sock.sendall(len(query).to_bytes(2) + query)
        with sock.makefile("rb") as stream:
            size = int.from_bytes(stream.read(2))
            message = stream.read(size)
            if len(message) < 12 or len(message) < size:
                raise ConnectionError("the connection was closed before the answer was whole")
            return message


def describe(reply: Reply) -> str:
    """Return an answer as lines for a terminal."""
    lines = [f"{reply.qname}  {reply.qtype}  {reply.rcode}"]
    lines += [f"  {text}" for text in reply.answers] or ["  (no data)"]
    if reply.ttl is not None:
        lines.append(f"TTL {reply.ttl} s")
    if reply.ede is not None:
        lines.append(f"extended error {reply.ede} {reply.ede_text}".rstrip())
    lines.append(f"{reply.server} ({reply.transport}), {reply.latency_ms:.1f} ms, {reply.size} octets")
    return "\n".join(lines)
