"""One spelling for everything: names, types, addresses and rcodes come out the same whichever daemon wrote them.

Works on distinct values, so ten million rows cost only the names in them. Knows schema and dns; no I/O.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb import schema
from dnsnb.dns import wire
from dnsnb.errors import WireError

TEXT = pa.string()
CATEGORY = pa.dictionary(pa.int32(), TEXT)

#: Columns that follow the schema's where a format knows them.
EXTRAS: dict[str, tuple[pa.DataType, str]] = {
    "client_port": (pa.int32(), "port of the asker"),
    "server": (CATEGORY, "address that was asked"),
    "dns_id": (pa.int32(), "ID of the DNS message"),
    "uid": (TEXT, "the source's own key of the row: a connection, a session"),
    "side": (CATEGORY, "client: asked of the resolver; upstream: asked by it"),
    "ecs": (CATEGORY, "client subnet in the query (RFC 7871)"),
    "reason": (CATEGORY, "why, in the source's own words"),
    "query_flags": (CATEGORY, "flags of the query as dig prints them"),
    "qname_raw": (TEXT, "the name as it was written, where it could not be read back"),
    "lossy": (pa.bool_(), "the source wrote the name in a way that can't be undone"),
    "count": (pa.int64(), "how many times, where a row stands for many"),
    "last": (pa.timestamp("us", tz="UTC"), "last seen, where a row stands for many"),
    "event": (CATEGORY, 'what the line says (with rows="events")'),
}

#: What a reader's events may carry beside them; used by the join, never seen in a frame.
KIND = "kind"
QUERY, RESPONSE, NOTE, HINT = 0, 1, 2, 3

_TYPES = dict(zip(schema.arrow_schema().names, schema.arrow_schema().types, strict=True)) | {
    name: kind for name, (kind, _) in EXTRAS.items()
}
_TYPES[KIND] = pa.int8()

_PLAIN_NAME = r"^[a-z0-9_*-]+(?:\.[a-z0-9_*-]+)*$"


def build(raw: dict[str, Any], count: int, *, lossy: str | None = None, escapes: bool = True) -> pa.Table:
    """Return a table of canonical columns from raw ones: arrays as long as `count`, or one value for all rows.

    `time` is µs since the epoch (int64, `times.MISSING` for null). `lossy` is a regular expression of names that the
    source's own way of writing can't bring back; `escapes` False: it writes a backslash as it is.
    """
    arrays: dict[str, Any] = {}
    for name, values in raw.items():
        if values is None:
            continue
        if not isinstance(values, (pa.Array, pa.ChunkedArray, np.ndarray)):
            arrays[name] = constant(values, count, _TYPES[name])
        elif name == "qname":
            arrays["qname"], strange = names(values, lossy, escapes)
            if strange is not None:
                arrays["lossy"] = strange
                if "qname_raw" not in raw:
                    arrays["qname_raw"] = pc.if_else(strange, _plain(values), pa.scalar(None, TEXT))
        elif name in _SPELLING:
            arrays[name] = mapped(values, _SPELLING[name])
        elif name == "client":
            arrays[name] = plain(values, address)
        elif name == "time":
            arrays[name] = stamps(values)
        elif name == "status":
            arrays[name] = mapped(values, str)
        else:
            arrays[name] = _fit(values, _TYPES[name])
    return pa.table(arrays)


def constant(value: Any, count: int, kind: pa.DataType) -> pa.Array:
    """Return one value for all rows."""
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([value], TEXT))
    return pa.repeat(pa.scalar(value, kind), count)


def stamps(micros: Any) -> pa.Array:
    """Return µs since the epoch as timestamps; `times.MISSING` (numpy's NaT) is null."""
    if isinstance(micros, (pa.Array, pa.ChunkedArray)):
        return micros.cast(pa.timestamp("us", tz="UTC"))
    return pa.array(micros, pa.int64(), mask=micros == np.iinfo(np.int64).min).cast(pa.timestamp("us", tz="UTC"))


def mapped(values: Any, spell: Callable[[str], str | None]) -> pa.DictionaryArray:
    """Return a category: `spell` is asked once for each distinct value; what it returns None for is null."""
    coded = _coded(values)
    texts = coded.dictionary.cast(TEXT).to_pylist()
    spelled = [None if text is None else spell(text) for text in texts]
    if spelled == texts and None not in texts and len(set(texts)) == len(texts):
        return coded.cast(CATEGORY) if coded.type != CATEGORY else coded
    places = {s: i for i, s in enumerate(dict.fromkeys(s for s in spelled if s is not None))}
    remap = pa.array([None if s is None else places[s] for s in spelled], pa.int32())
    return pa.DictionaryArray.from_arrays(remap.take(coded.indices), pa.array(list(places), TEXT))


def plain(values: Any, spell: Callable[[str], Any], kind: pa.DataType = TEXT) -> pa.Array:
    """Return a plain column: `spell` is asked once for each distinct value."""
    coded = _coded(values)
    texts = coded.dictionary.cast(TEXT).to_pylist()
    return pa.array([None if t is None else spell(t) for t in texts], kind).take(coded.indices)


def _coded(values: Any) -> pa.DictionaryArray:
    if isinstance(values, np.ndarray):
        values = pa.array(values)
    if isinstance(values, pa.ChunkedArray):
        values = (
            values.unify_dictionaries().combine_chunks()
            if pa.types.is_dictionary(values.type)
            else values.combine_chunks()
        )
    return values if pa.types.is_dictionary(values.type) else values.dictionary_encode()


def _plain(values: Any) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.cast(TEXT)


def _fit(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray):
        if np.issubdtype(values.dtype, np.integer) and pa.types.is_integer(kind):
            gone = values < 0
            return pa.array(np.where(gone, 0, values), pa.int64(), mask=gone).cast(kind, safe=False)
        values = pa.array(values)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    if values.type == kind:
        return values
    if pa.types.is_dictionary(kind):
        return _coded(values.cast(TEXT) if not pa.types.is_dictionary(values.type) else values).cast(kind)
    if pa.types.is_string(values.type) and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return numbers(values, kind)
    return values.cast(kind, safe=False)


def numbers(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return decimal text as numbers; what is no number, or does not fit, is null."""
    good = pc.match_substring_regex(values, r"^[+-]?\d{1,15}(?:\.\d{1,12})?(?:[eE][+-]?\d{1,2})?$")
    clean = pc.if_else(good, values, pa.scalar(None, TEXT)).cast(pa.float64())
    if pa.types.is_integer(kind):
        limit = float(np.iinfo(kind.to_pandas_dtype()).max)
        clean = pc.if_else(pc.and_(pc.less_equal(clean, limit), pc.greater_equal(clean, -limit)), clean, None)
        return pc.floor(clean).cast(kind, safe=False)
    return clean.cast(kind)


def names(values: Any, lossy: str | None = None, escapes: bool = True) -> tuple[pa.Array, pa.Array | None]:
    """Return names in canonical text, and which of them are lossy (None when none is)."""
    coded = _coded(values)
    texts = coded.dictionary.cast(TEXT)
    lower = pc.ascii_lower(texts)
    lower = pc.if_else(
        pc.and_(pc.ends_with(lower, "."), pc.greater(pc.binary_length(lower), 1)),
        pc.utf8_slice_codeunits(lower, 0, -1),
        lower,
    )
    easy = pc.match_substring_regex(lower, _PLAIN_NAME)
    strange = None
    if not pc.all(easy, min_count=0).as_py():
        hard = np.flatnonzero(~easy.fill_null(True).to_numpy(zero_copy_only=False))
        spelled = lower.to_pylist()
        rotten = np.zeros(len(spelled), bool)
        # U+FFFD is what stands for octets that a JSON or .NET writer could not take
        pattern = re.compile(f"{lossy}|\ufffd" if lossy else "\ufffd")
        for i, text in zip(hard, texts.take(pa.array(hard)).to_pylist(), strict=True):
            if pattern.search(text):
                rotten[i] = True
            spelled[i] = canonical_name(text if escapes else text.replace("\\", "\\\\"))
            rotten[i] |= spelled[i] is None
        lower = pa.array(spelled, TEXT)
        if rotten.any():
            strange = pa.array(rotten).take(coded.indices).fill_null(False)
    return lower.take(coded.indices), strange


def canonical_name(text: str) -> str | None:
    r"""Return a name in canonical text (as `dns.wire.name_to_text`); raw octets and ``\xHH`` are taken as octets too.

    What no name can be (an unprintable placeholder, a label too long) is None.
    """
    if text in ("", ".", "<Root>", "<root>"):
        return "."
    if text.startswith("<") and text.endswith(">"):
        return None
    fixed = _HEX.sub(lambda m: f"{m[1]}\\{int(m[2], 16):03d}", text)
    try:
        return wire.name_to_text(wire.text_to_name(fixed))
    except (WireError, ValueError):
        pass
    if ".." in fixed or fixed.startswith(".") or len(fixed) > 255 or any(len(x) > 63 for x in fixed.split(".")):
        return fixed.lower().rstrip(".") if fixed.isascii() and fixed.isprintable() and len(fixed) < 1200 else None
    return None


_HEX = re.compile(r"(?<!\\)((?:\\\\)*)\\x([0-9a-fA-F]{2})")
_BARE = re.compile(r"\\(?!x[0-9a-fA-F]{2})")


def unescaped(text: str) -> str:
    r"""Return a name of a writer who escapes nothing, or only ``\xHH``, with its backslashes escaped."""
    return _BARE.sub(r"\\\\", text) if "\\" in text else text


def address(text: str) -> str | None:
    """Return an address in its shortest form, without brackets; what is none is kept as it is, empty is None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    if not text or text == "-":
        return None
    if ":" not in text:
        return text
    try:
        parsed = ipaddress.ip_address(text.lower())
    except ValueError:
        return text
    mapped_v4 = getattr(parsed, "ipv4_mapped", None)
    return str(mapped_v4 or parsed)


def qtype(text: str) -> str | None:
    """Return a type as text (``A``, ``TYPE65280``) from its name or number, in any of the ways that logs write it."""
    text = text.strip().upper()
    if text in ("", "-", "NONE"):
        return None
    if text == "*":
        return "ANY"
    for prefix in ("TYPE=", "TYPE-", "QUERY-", "TYPE", "UNKNOWN-", "UNKNOWN", "#"):
        if text.startswith(prefix) and text[len(prefix) :].isdigit():
            text = text[len(prefix) :]
            break
    if text.isascii() and text.isdigit():
        return wire.qtype_text(int(text)) if len(text) < 6 and int(text) < 65536 else None
    text = _OTHER_TYPES.get(text, text)
    return text if _WORD.fullmatch(text) else None


#: ADDR, ALIAS and LUA are numbers for private use that only PowerDNS has names for.
_OTHER_TYPES = {"ALL": "ANY", "ADDR": "TYPE65400", "ALIAS": "TYPE65401", "LUA": "TYPE65402"}
_WORD = re.compile(r"[A-Z][A-Z0-9-]{0,23}")


def qclass(text: str) -> str | None:
    """Return a class as text from its name or number (Zeek's ``C_INTERNET``, the mDNS bit)."""
    text = text.strip().upper()
    if text in ("", "-"):
        return None
    if text in ("C_INTERNET", "INTERNET", "INET"):
        return "IN"
    text = {"C_CHAOS": "CH", "CHAOS": "CH", "C_HESIOD": "HS", "C_NONE": "NONE", "C_ANY": "ANY", "*": "ANY"}.get(
        text, text
    )
    for prefix in ("CLASS=", "CLASS", "QCLASS-", "QCLASS_", "UNKNOWN-"):
        if text.startswith(prefix) and text[len(prefix) :].isdigit():
            text = text[len(prefix) :]
            break
    if text.isascii() and text.isdigit():
        number = int(text) if len(text) < 6 else 65536
        if number == 0x8001:
            return "IN"
        return wire.qclass_text(number) if number < 65536 else None
    return text if _WORD.fullmatch(text) else None


_RCODES = {name.replace("_", ""): name for name in wire.RCODES.values()} | {
    "NXDOMAIN": "NXDOMAIN", "NAMEERROR": "NXDOMAIN", "NONEXISTENTDOMAIN": "NXDOMAIN", "NONEXISTENT": "NXDOMAIN",
    "NODOMAIN": "NXDOMAIN", "NOERR": "NOERROR", "SUCCESS": "NOERROR", "NOSUCHNAME": "NXDOMAIN",
    "SERVERFAILURE": "SERVFAIL", "SERVERERROR": "SERVFAIL", "FORMATERROR": "FORMERR", "FORMERROR": "FORMERR",
    "NOTIMPLEMENTED": "NOTIMP", "NOTIMPL": "NOTIMP", "QUERYREFUSED": "REFUSED", "YXRR": "YXRRSET", "NXRR": "NXRRSET",
    "NOTAUTHORIZED": "NOTAUTH", "NOTAUTHORITATIVE": "NOTAUTH", "BADSIG": "BADVERS",
}  # fmt: skip


def rcode(text: str) -> str | None:
    """Return an rcode as text (``NXDOMAIN``) from its name or number, in any of the ways that logs write it."""
    text = text.strip()
    if text in ("", "-"):
        return None
    if text.isascii() and text.isdigit():
        return wire.rcode_text(int(text)) if len(text) < 6 else None
    key = re.sub(r"[^A-Za-z0-9]", "", text).upper()
    if key.startswith("RCODE") and key[5:].isdigit():
        return rcode(key[5:])
    return _RCODES.get(key) or (key if _WORD.fullmatch(key) else None)


def outcome(text: str) -> str | None:
    """Return the status that an rcode alone tells, in any of the ways that logs write it; None where it tells none."""
    return {"SERVFAIL": "failed", "REFUSED": "refused"}.get(rcode(text) or "")


_TRANSPORTS = {
    "tls": "dot",
    "dnsovertls": "dot",
    "dot": "dot",
    "https": "doh",
    "dnsoverhttps": "doh",
    "doh": "doh",
    "httpsjson": "doh",
    "http": "doh",
    "doh3": "doh",
    "quic": "doq",
    "dnsoverquic": "doq",
    "doq": "doq",
    "udpproxy": "udp",
    "tcpproxy": "tcp",
    "dnscryptudp": "dnscrypt",
    "dnscrypttcp": "dnscrypt",
}


def transport(text: str) -> str | None:
    """Return how a query came, as the schema writes it: udp, tcp, dot, doh, doq, dnscrypt."""
    key = re.sub(r"[^a-z0-9]", "", text.lower())
    return _TRANSPORTS.get(key, key) or None


_SPELLING: dict[str, Callable[[str], str | None]] = {
    "qtype": qtype,
    "qclass": qclass,
    "rcode": rcode,
    "transport": transport,
    "server": address,
}


def finish(table: pa.Table, source: str, events: bool) -> pa.Table:
    """Return a table with the schema's columns in order, then the extras it has; nothing is guessed but the status."""
    out: dict[str, Any] = {}
    have = set(table.column_names)
    for name in schema.NAMES:
        if name == "source" and name not in have:
            out[name] = constant(source, len(table), CATEGORY)
        elif name == "status":
            out[name] = (
                _status(table.column(name), len(table)) if name in have else constant("unknown", len(table), CATEGORY)
            )
        elif name in have:
            out[name] = _fit(table.column(name), _TYPES[name])
        else:
            out[name] = pa.nulls(len(table), _TYPES[name])
    for name, (kind, _) in EXTRAS.items():
        if name in have and (events or name != "event"):
            out[name] = _fit(table.column(name), kind)
            if name == "lossy" and out[name].null_count:
                out[name] = out[name].fill_null(False)
    return pa.table({name: used(v) if pa.types.is_dictionary(v.type) else v for name, v in out.items()})


def lossy_rows(table: pa.Table) -> int:
    """Return how many names of a finished table were not written whole."""
    return int(pc.sum(table.column("lossy")).as_py() or 0) if "lossy" in table.column_names else 0


def used(values: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return a category without the words that no row has."""
    if isinstance(values, pa.ChunkedArray):
        values = _coded(values)
    words = len(values.dictionary)
    codes = values.indices.fill_null(words).to_numpy(zero_copy_only=False)
    there = np.bincount(codes, minlength=words + 1)[:words] > 0
    if values.dictionary.null_count:  # a null word is a null row: other engines know no such thing
        there &= values.dictionary.is_valid().to_numpy(zero_copy_only=False)
    if there.all():
        return values
    remap = np.append(np.cumsum(there) - 1, -1)[codes]
    indices = pa.array(np.maximum(remap, 0), pa.int32(), mask=~np.append(there, False)[codes])
    return pa.DictionaryArray.from_arrays(indices, values.dictionary.filter(pa.array(there)))


def _status(values: Any, count: int) -> pa.Array:
    if values.null_count == 0:
        return _fit(values, CATEGORY)
    return _coded(values.cast(TEXT).fill_null("unknown")).cast(CATEGORY)
