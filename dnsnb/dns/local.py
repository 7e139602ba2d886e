"""Names that we answer ourselves: typed records, a hosts file, a zone file. Answers are RRs with rdata in wire form.

No I/O (texts are passed in); knows names, wire. dnslib reads texts when records are set, not when asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from dnsnb.dns.names import BELOW, name_tail, parse_rule_text
from dnsnb.dns.wire import name_to_text
from dnsnb.errors import SettingError

IN = 1
CNAME, PTR = 5, 12
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "NAPTR": 35,
         "SSHFP": 44, "TLSA": 52, "SVCB": 64, "HTTPS": 65, "CAA": 257}  # fmt: skip
MAX_CHAIN = 16
MAX_RECORDS = 500_000


class RR(NamedTuple):
    """One record of an answer: owner (wire, lower case), type, class, TTL in seconds, rdata (wire, not compressed)."""

    name: bytes
    type: int
    cls: int
    ttl: int
    rdata: bytes


class Record(NamedTuple):
    """One local record as given: `name` (``*.lan`` covers all below), `type`, `data` as text, `ttl`, `source`."""

    name: str
    type: str
    data: str
    ttl: int = 300
    source: str = "records"


class LocalRecords:
    """Local names. `answer` is a dictionary look-up; a change of a source replaces that source's records as a whole."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._exact: dict[bytes, dict[int, list[tuple[int, bytes]]]] = {}
        self._below: dict[bytes, dict[int, list[tuple[int, bytes]]]] = {}
        self.records: tuple[Record, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    def answer(self, qname: bytes, qtype: int, qclass: int = IN) -> list[RR] | None:
        """Return the answer's records, CNAMEs first; [] when the name is ours without that type; None when not ours.

        A chain that leaves our names ends with its CNAME: the rest is for the caller to resolve.
        """
        if not self.records or qclass != IN:
            return None
        chain: list[RR] = []
        name = qname
        for _ in range(MAX_CHAIN):
            types = self._find(name[:-1])
            if types is None:
                return chain or None
            found = types.get(qtype)
            if found:
                return chain + [RR(name, qtype, IN, ttl, rdata) for ttl, rdata in found]
            alias = types.get(CNAME)
            if not alias:
                return chain
            ttl, target = alias[0]
            chain.append(RR(name, CNAME, IN, ttl, target))
            name = target.lower() if target != name else b"\0"
        return chain

    def is_local(self, qname: bytes) -> bool:
        """Whether the name (wire, lower case) is answered here."""
        return bool(self.records) and self._find(qname[:-1]) is not None

    def replace(self, records: Iterable[Record]) -> None:
        """Hold these records and no others; all or nothing: a wrong one raises SettingError quoting it."""
        kept = tuple(records)
        if len(kept) > MAX_RECORDS:
            raise SettingError("records", len(kept), f"{MAX_RECORDS:,} local records is the most")
        exact: dict[bytes, dict[int, list[tuple[int, bytes]]]] = {}
        below: dict[bytes, dict[int, list[tuple[int, bytes]]]] = {}
        for record in kept:
            rule = parse_rule_text(record.name, "records.name")
            rtype, rdata = wire_rdata(record)
            table = below if rule.scope == BELOW else exact
            types = table.setdefault(rule.tail, {})
            if (CNAME in types and rtype != CNAME) or (rtype == CNAME and set(types) - {CNAME}):
                raise SettingError(
                    "records.name", record.name, "a name with a CNAME can have no other record (RFC 1034 3.6.2)"
                )
            if rtype == CNAME and CNAME in types and types[CNAME][0][1] != rdata:
                raise SettingError("records.name", record.name, "a name can have one CNAME only (RFC 2181 10.1)")
            values = types.setdefault(rtype, [])
            if all(known != rdata for _, known in values):
                values.append((record.ttl, rdata))
        self._exact, self._below, self.records = exact, below, kept
        self._changed()

    def add(self, records: Iterable[Record]) -> None:
        """Add records to those there are; all or nothing."""
        self.replace((*self.records, *(r for r in records if r not in self.records)))

    def remove(self, name: str, rtype: str | None = None, data: str | None = None) -> list[Record]:
        """Take away the records with this name (and type, and data, when given); returns them."""
        wanted = parse_rule_text(name, "name").text
        gone = [
            r
            for r in self.records
            if parse_rule_text(r.name).text == wanted
            and (rtype is None or r.type.upper() == rtype.upper())
            and (data is None or r.data == data)
        ]
        if gone:
            self.replace(r for r in self.records if r not in gone)
        return gone

    def set_source(self, source: str, records: Iterable[Record]) -> None:
        """Replace the records of one source (a hosts file, a zone file), leaving the others."""
        kept = [r for r in self.records if r.source != source]
        self.replace((*kept, *(r._replace(source=source) for r in records)))

    def _find(self, tail: bytes) -> dict[int, list[tuple[int, bytes]]] | None:
        types = self._exact.get(tail)
        if types is not None:
            return types
        if self._below:  # we override names, we don't own zones: a wildcard covers all below it, unlike RFC 4592
            at = 0
            while at < len(tail):
                at += tail[at] + 1
                types = self._below.get(tail[at:])
                if types is not None:
                    return types
        return None


def parse_record(item: Mapping[str, Any] | Record, setting: str = "records") -> Record:
    """Return a record given as a mapping (``{"name", "type", "data", "ttl"}``), checked; raises SettingError."""
    if isinstance(item, Record):
        record = item
    else:
        unknown = set(item) - {"name", "type", "data", "ttl", "source"}
        if unknown:
            raise SettingError(f"{setting}.{min(unknown)}", item[min(unknown)], "a record has name, type, data and ttl")
        for key in ("name", "type", "data"):
            if not isinstance(item.get(key), str):
                raise SettingError(f"{setting}.{key}", item.get(key), "must be text")
        ttl = item.get("ttl", 300)
        if not isinstance(ttl, int) or isinstance(ttl, bool) or not 0 <= ttl <= 604_800:
            raise SettingError(f"{setting}.ttl", ttl, "a TTL is 0 to 604800 seconds")
        record = Record(item["name"].strip(), item["type"].strip().upper(), item["data"].strip(), ttl)
    parse_rule_text(record.name, f"{setting}.name")
    wire_rdata(record, setting)
    return record


def wire_rdata(record: Record, setting: str = "records") -> tuple[int, bytes]:
    """Return (type number, wire rdata) of a record; raises SettingError saying what its data should look like."""
    rtype = TYPES.get(record.type.upper())
    if rtype is None:
        raise SettingError(f"{setting}.type", record.type, f"one of {', '.join(TYPES)}")
    try:
        if rtype in (1, 28):
            address = ipaddress.ip_address(record.data)
            if (address.version == 4) != (rtype == 1):
                raise ValueError
            return rtype, address.packed
        if rtype in (2, CNAME, PTR):
            tail = name_tail(record.data)
            return rtype, tail + b"\0"
        return rtype, _dnslib_rdata(record)
    except ValueError as error:
        example = _EXAMPLES.get(record.type.upper())
        why = f"not the data of a {record.type} record" + (f" ({error})" if str(error) else "")
        raise SettingError(
            f"{setting}.data", record.data, why + (f"; write such as {example!r}" if example else "")
        ) from None


_EXAMPLES = {
    "A": "192.0.2.1", "AAAA": "2001:db8::1", "CNAME": "host.example.com", "PTR": "host.example.com",
    "NS": "ns1.example.com", "TXT": '"v=spf1 -all"', "MX": "10 mail.example.com", "SRV": "0 5 5060 sip.example.com",
    "CAA": '0 issue "ca.example.net"', "HTTPS": "1 . alpn=h2",
}  # fmt: skip


def _dnslib_rdata(record: Record) -> bytes:
    import dnslib

    if "\n" in record.data or "\r" in record.data:
        raise ValueError("a line break")
    data = record.data
    if record.type.upper() == "TXT" and not data.startswith('"'):
        data = '"' + data.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        parsed = list(dnslib.RR.fromZone(f"x. 300 IN {record.type.upper()} {data}", origin=".", ttl=300))
        if len(parsed) != 1:
            raise ValueError("expected one record")
        buffer = dnslib.DNSBuffer()
        # A fresh buffer and no names in it: nothing is compressed, so the bytes may stand in any message.
        buffer.names = _NoNames()
        parsed[0].rdata.pack(buffer)
        return bytes(buffer.data)
    except ValueError:
        raise
    except Exception as error:  # dnslib raises DNSError, IndexError, struct.error and more on odd text
        raise ValueError(type(error).__name__) from None


class _NoNames(dict[Any, Any]):
    """A compression table that forgets."""

    def __setitem__(self, key: Any, value: Any) -> None:
        return


def read_hosts(text: str, source: str = "hosts", ttl: int = 300) -> tuple[list[Record], list[tuple[int, str, str]]]:
    """Read a hosts file: (records with a PTR for each first name, what was skipped as (line, text, why))."""
    records: list[Record] = []
    skipped: list[tuple[int, str, str]] = []
    pointers: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split("#", 1)[0].split()
        if not parts:
            continue
        try:
            address = ipaddress.ip_address(parts[0].split("%", 1)[0])
        except ValueError:
            skipped.append((number, line[:200], "no address at the start"))
            continue
        if len(parts) == 1:
            skipped.append((number, line[:200], "an address without a name"))
        for position, name in enumerate(parts[1:]):
            try:
                tail = name_tail(name)
            except ValueError as error:
                skipped.append((number, name[:200], str(error)))
                continue
            records.append(
                Record(name_to_text(tail), "A" if address.version == 4 else "AAAA", str(address), ttl, source)
            )
            pointer = address.reverse_pointer
            if position == 0 and pointer not in pointers:
                pointers.add(pointer)
                records.append(Record(pointer, "PTR", name_to_text(tail), ttl, source))
    return records, skipped


def read_zone(
    text: str, source: str = "zone", origin: str | None = None
) -> tuple[list[Record], list[tuple[int, str, str]]]:
    """Read a zone file (RFC 1035 5): (records, what was skipped as (0, record, why)); raises SettingError if it can't.

    SOA, NS and DNSSEC records are left out: we answer names, we don't serve zones.
    """
    import dnslib

    try:
        parsed = list(dnslib.RR.fromZone(text, origin=origin or ".", ttl=3600))
    except Exception as error:
        raise SettingError(
            "zone_file", source, f"not a zone file ({type(error).__name__}: {str(error)[:100]})"
        ) from None
    records: list[Record] = []
    skipped: list[tuple[int, str, str]] = []
    for rr in parsed:
        rtype = str(dnslib.QTYPE.get(rr.rtype))
        if rtype in ("SOA", "NS", "RRSIG", "NSEC", "NSEC3", "DNSKEY", "DS"):
            skipped.append((0, f"{rr.rname} {rtype}", "not a record that is answered from here"))
            continue
        name = ("*." if rr.rname.label[:1] == (b"*",) else "") + name_to_text(
            b"".join(bytes((len(x),)) + x for x in rr.rname.label if x != b"*")
        )
        record = Record(name, rtype, str(rr.rdata), min(int(rr.ttl), 604_800), source)
        try:
            wire_rdata(record)
        except SettingError as error:
            skipped.append((0, f"{name} {rtype} {record.data}"[:200], error.why))
            continue
        records.append(record)
    return records, skipped
