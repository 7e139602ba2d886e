"""dnstap: protobuf payloads in Frame Streams, from files (also without START or STOP, or cut off) and sockets.

Pure; the listener feeds the same `Reader`. Client side: CLIENT_*, AUTH_*, UPDATE_*; upstream side: the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats import columns, protobuf, wirerows
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import PAD
from dnsnb.formats.sniff import Head

CONTENT = b"protobuf:dnstap.Dnstap"
ACCEPT, START, STOP, READY, FINISH = 1, 2, 3, 4, 5
BATCH = 20_000
LONGEST = 1 << 20
_TRANSPORTS = {1: "udp", 2: "tcp", 3: "dot", 4: "doh", 5: "dnscrypt", 6: "dnscrypt", 7: "doq"}
_NAMES = ("AUTH", "RESOLVER", "CLIENT", "FORWARDER", "STUB", "TOOL", "UPDATE")
_CLIENT_SIDE = (1, 2, 5, 6, 13, 14)


def score(head: Head) -> int:
    """A START control frame with dnstap's content type, or a data frame that is a Dnstap message."""
    raw = head.raw
    if len(raw) >= 12 and raw[:4] == b"\0\0\0\0":
        return 99 if CONTENT in raw[:200] else 0
    if len(raw) > 8:
        size = int.from_bytes(raw[:4])
        if 8 < size < 65600 and len(raw) >= 4 + min(size, 60) and message_of(raw[4 : 4 + size]) is not None:
            return 70
        if message_of(raw) is not None:
            return 70
    return 0


class Reader:
    """Takes Frame Streams bytes as they come; gives events in batches."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.joiner = wirerows.joiner()
        self._held = b""
        self._frames: list[dict[int, Any]] = []
        self._count = 0
        self._broken = False
        self.stopped = False

    def begin(self) -> pa.Table | None:
        """Start another file; return the rest of the one before."""
        rest = self.finish()
        self._held, self._count, self._broken, self.stopped = b"", 0, False, False
        return rest

    def feed(self, data: bytes) -> pa.Table | None:
        """Take bytes; return events once there are enough for a batch."""
        if self._broken:
            return None
        buffer = self._held + data if self._held else data
        if not self._count and int.from_bytes(buffer[:4]) > LONGEST and len(buffer) < LONGEST:
            self._held = buffer  # perhaps one payload without a frame around it
            return None
        at, size = 0, len(buffer)
        while size - at >= 4:
            length = int.from_bytes(buffer[at : at + 4])
            if length == 0:
                if size - at < 8:
                    break
                control = int.from_bytes(buffer[at + 4 : at + 8])
                if control > 512:
                    self._lost(
                        "a control frame of a length that can't be; what follows was left out", buffer[at : at + 16]
                    )
                    at, self._broken = size, True
                    break
                if size - at < 8 + control:
                    break
                self.stopped |= control >= 4 and int.from_bytes(buffer[at + 8 : at + 12]) in (STOP, FINISH)
                at += 8 + control
                continue
            if length > LONGEST:
                self._lost("a frame of a length that can't be; what follows was left out", buffer[at : at + 16])
                at, self._broken = size, True
                break
            if size - at < 4 + length:
                break
            self.frame(buffer[at + 4 : at + 4 + length])
            at += 4 + length
        self._held = buffer[at:]
        return self.flush() if len(self._frames) >= BATCH else None

    def frame(self, payload: bytes) -> None:
        """Take one data frame."""
        self._count += 1
        self.context.report["lines"] += 1
        message = message_of(payload)
        if message is None:
            self._lost("a frame that is no dnstap message", payload[:16])
            return
        message[0] = self._count
        self._frames.append(message)

    def _lost(self, reason: str, octets: bytes) -> None:
        self.context.skip_count(reason, 1, [(self.context.source, self._count, octets.hex(" "))])

    def finish(self) -> pa.Table | None:
        """Return the rest; a frame that is cut off is reported."""
        if self._held and not self._count and message_of(self._held) is not None:
            self.frame(self._held)
        elif self._held:
            self._lost("the last frame is cut off", self._held[:16])
            self._held = b""
        return self.flush()

    def flush(self) -> pa.Table | None:
        """Return what there is as events."""
        frames, self._frames = self._frames, []
        return _events(frames, self.context) if frames else None


def _events(frames: list[dict[int, Any]], context: Context) -> pa.Table | None:
    bodies, kept = [], []
    for frame in frames:
        kind = frame[1]
        body = frame.get(14 if kind % 2 == 0 else 10) or frame.get(10) or frame.get(14)
        if body:
            bodies.append(body)
            kept.append(frame)
    if len(kept) < len(frames):
        context.skip_count("a dnstap message without a DNS message", len(frames) - len(kept))
    if not kept:
        return None
    sizes = np.array([len(b) for b in bodies], np.int64)
    ends = np.cumsum(sizes)
    kinds = np.array([f[1] for f in kept], np.int64)
    asked = np.array([f.get(8, 0) * 1_000_000 + f.get(9, 0) // 1000 for f in kept], np.int64)
    answered = np.array([f.get(12, 0) * 1_000_000 + f.get(13, 0) // 1000 for f in kept], np.int64)
    is_answer = kinds % 2 == 0
    when = np.where(is_answer & (answered > 0), answered, np.where(asked > 0, asked, answered))
    none = np.iinfo(np.int64).min
    client_side = np.isin(kinds, _CLIENT_SIDE)
    server = wirerows.addresses([f.get(5, b"") for f in kept])
    ports = np.array([f.get(7, 0) for f in kept], np.int64)
    upstream = pc.binary_join_element_wise(server.cast(pa.string()), pa.array(ports).cast(pa.string()), "#")
    words = [
        f"{_NAMES[(k - 1) // 2]}_{'RESPONSE' if k % 2 == 0 else 'QUERY'}" if 0 < k < 15 else "?" for k in range(15)
    ]
    envelope: dict[str, Any] = {
        "time": np.where(when > 0, when, none),
        "began": np.where(is_answer & (asked > 0), asked, none),
        "latency_ms": pa.array(
            ((answered - asked) / 1000.0).astype(np.float32), mask=~(is_answer & (asked > 0) & (answered >= asked))
        ),
        "client": wirerows.addresses([f.get(4, b"") for f in kept]).cast(pa.string()),
        "client_port": np.array([f.get(6, -1) for f in kept], np.int64),
        "server": server,
        "upstream": pc.if_else(pa.array(client_side), None, upstream),
        "transport": pa.array([_TRANSPORTS.get(f.get(3, 0)) for f in kept], pa.string()),
        "side": pc.if_else(pa.array(client_side), "client", "upstream"),
        "id": pa.array([f[0] for f in kept]),
        "reason": pa.array(words).take(pa.array(np.clip(kinds, 0, 14))),
    }
    identity = {f[-1] for f in kept if f.get(-1)}
    if identity:
        context.report.note("dnstap identity " + ", ".join(sorted(i.decode("utf-8", "replace") for i in identity)[:3]))
    table, good = wirerows.rows(b"".join(bodies) + bytes(PAD), ends - sizes, ends, envelope)
    if not good.all():
        places = np.flatnonzero(~good)
        examples = [(context.source, int(kept[i][0]), bodies[i][:24].hex(" ")) for i in places[:3].tolist()]
        context.skip_count("a DNS message that can't be read", len(places), examples)
    if table is None:
        return None
    # the kind of the envelope decides, not the QR bit: a query that is sent as a response is an attack on the log
    return table.set_column(
        table.column_names.index(columns.KIND), columns.KIND, pa.array(np.where(is_answer, 1, 0)[good], pa.int8())
    )


def message_of(payload: bytes) -> dict[int, Any] | None:
    """Return the fields of a Dnstap payload's Message by number (-1: the identity), or None when it is none."""
    found: dict[int, Any] | None = None
    identity = b""
    for number, value in protobuf.fields(payload):
        if number is None:
            return None
        if number == 14 and isinstance(value, bytes):
            found = {}
            for inner, item in protobuf.fields(value):
                if inner is None:
                    return None
                found[inner] = item
        elif number == 1 and isinstance(value, bytes):
            identity = value
    if found is None or not _sane(found):
        return None
    if identity:
        found[-1] = identity
    return found


_BYTES = (4, 5, 10, 11, 14)
_INTEGERS = (1, 2, 3, 6, 7, 8, 9, 12, 13)


def _sane(fields: dict[int, Any]) -> bool:
    if not isinstance(fields.get(1), int) or not 0 < fields[1] < 15:
        return False
    if any(not isinstance(fields[n], bytes) for n in _BYTES if n in fields):
        return False
    return not any(n in fields and not (isinstance(fields[n], int) and fields[n] < 1 << 33) for n in _INTEGERS)
