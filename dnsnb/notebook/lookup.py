"""One DNS question, asked and answered as `dig` would: for people, so by dnslib. Opens a socket for each question."""

from __future__ import annotations

import html
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import dnslib
from dnslib.label import DNSLabelError

from dnsnb.errors import NotConnected, SettingError
from dnsnb.notebook.static_view import escape, plain

EDE = {
    0: "other", 3: "stale answer", 4: "forged answer", 15: "blocked", 16: "censored", 17: "filtered", 18: "prohibited",
    20: "not authoritative", 22: "no reachable authority", 23: "network error", 29: "synthesized",
}  # fmt: skip


@dataclass(frozen=True)
class Lookup:
    """What a server said: `rcode` as text, `answers` as (name, ttl, type, data), `flags` as dig prints them."""

    qname: str
    qtype: str
    rcode: str
    answers: tuple[tuple[str, int, str, str], ...]
    flags: str
    ms: float
    server: str
    bytes: int
    ede: tuple[str, ...] = field(default=())

    @property
    def addresses(self) -> list[str]:
        """The addresses among the answers."""
        return [data for _, _, kind, data in self.answers if kind in ("A", "AAAA")]

    def __repr__(self) -> str:
        head = f"{plain(self.qname)} {self.qtype}: {self.rcode}, {self.ms:.1f} ms from {self.server} [{self.flags}]"
        lines = [f"  {plain(n)} {ttl} {kind} {plain(data)}" for n, ttl, kind, data in self.answers]
        return "\n".join([head, *lines, *(f"  EDE {plain(text)}" for text in self.ede)])

    def _repr_html_(self) -> str:
        cell = "padding:0 14px 0 0;text-align:left;font-family:monospace"
        rows = "".join(
            "<tr>" + "".join(f'<td style="{cell}">{escape(v)}</td>' for v in row) + "</tr>" for row in self.answers
        )
        notes = "".join(f"<div>EDE {escape(text)}</div>" for text in self.ede)
        return (
            f"<div><b>{escape(self.qname)} {escape(self.qtype)}</b> {escape(self.rcode)} · {self.ms:.1f} ms · "
            f"{escape(self.server)} · {escape(self.flags)}</div>{notes}<table>{rows}</table>"
        )


def look_up(address: str, name: str, qtype: str = "A", *, timeout: float = 6.0) -> Lookup:
    """Ask the server at `address` ("127.0.0.1:5353") over UDP, and over TCP when the answer is truncated.

    Raises SettingError for a name or type that can't be asked, and NotConnected when no answer comes in time.
    """
    question = _question(name, qtype)
    host, _, port = address.rpartition(":")
    target = (host.strip("[]"), int(port))
    began = time.perf_counter()
    try:
        wire = _by_udp(target, question, timeout)
        if wire[2] & 2:  # TC
            wire = _by_tcp(target, question, timeout)
    except TimeoutError:
        raise NotConnected(f"no answer from {address} within {timeout:g} s") from None
    except OSError as error:
        raise NotConnected(f"no answer from {address}: {error.strerror or error}") from None
    ms = (time.perf_counter() - began) * 1000
    return _read(wire, name, qtype, ms, address)


def _question(name: str, qtype: str) -> bytes:
    text = qtype.upper()
    try:
        number = int(text[4:]) if text.startswith("TYPE") else getattr(dnslib.QTYPE, text)
    except (ValueError, dnslib.dns.DNSError):
        raise SettingError("qtype", qtype, "a record type such as A, AAAA, MX or TYPE65280") from None
    try:
        ascii_name = name if name.isascii() else name.encode("idna").decode()
        record = dnslib.DNSRecord(
            dnslib.DNSHeader(id=secrets.randbelow(65536), rd=1), q=dnslib.DNSQuestion(ascii_name, number)
        )
        record.add_ar(dnslib.EDNS0(udp_len=1232))
        return bytes(record.pack())
    except (ValueError, UnicodeError, dnslib.DNSError, DNSLabelError, struct.error) as error:
        raise SettingError("name", name, f"is no domain name ({error})") from None


def _matches(wire: bytes, question: bytes) -> bool:
    return len(wire) >= 12 and wire[:2] == question[:2] and bool(wire[2] & 0x80)


def _by_udp(target: tuple[str, int], question: bytes, timeout: float) -> bytes:
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(target)
        end = time.monotonic() + timeout
        pause = 1.5
        while True:
            sock.send(question)
            again = min(end, time.monotonic() + pause)
            while (left := again - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    wire = sock.recv(65535)
                except TimeoutError:
                    break
                if _matches(wire, question):
                    return wire
            if time.monotonic() >= end:
                raise TimeoutError
            pause *= 2


def _by_tcp(target: tuple[str, int], question: bytes, timeout: float) -> bytes:
    with socket.create_connection(target, timeout) as sock:
        sock.sendall(struct.pack("!H", len(question)) + question)
        wire = b""
        while len(wire) < 2 or len(wire) < 2 + struct.unpack("!H", wire[:2])[0]:
            part = sock.recv(65535)
            if not part:
                raise OSError("the connection ended within the answer")
            wire += part
        return wire[2:]


def _read(wire: bytes, name: str, qtype: str, ms: float, server: str) -> Lookup:
    try:
        record = dnslib.DNSRecord.parse(wire)
    except dnslib.DNSError as error:
        raise NotConnected(f"the answer of {server} can't be read: {error}") from None
    header = record.header
    flags = [
        word
        for word, on in (
            ("qr", header.qr), ("aa", header.aa), ("tc", header.tc), ("rd", header.rd), ("ra", header.ra),
            ("ad", header.ad), ("cd", header.cd),
        )
        if on
    ]  # fmt: skip
    answers = tuple(
        (str(rr.rname).rstrip(".") or ".", int(rr.ttl), dnslib.QTYPE.get(rr.rtype), str(rr.rdata)) for rr in record.rr
    )
    rcode = dnslib.RCODE.get(header.rcode)
    return Lookup(name, qtype.upper(), rcode, answers, " ".join(flags), ms, server, len(wire), _ede(record))


def _ede(record: Any) -> tuple[str, ...]:
    found = []
    for rr in record.ar:
        for option in getattr(rr, "rdata", None) or [] if rr.rtype == dnslib.QTYPE.OPT else []:
            if option.code == 15 and len(option.data) >= 2:
                code = struct.unpack("!H", bytes(option.data[:2]))[0]
                text = bytes(option.data[2:]).decode("utf-8", "replace")
                found.append(f"{code} ({EDE.get(code, 'unknown')})" + (f": {html.unescape(text)}" if text else ""))
    return tuple(found)
