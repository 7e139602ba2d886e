"""Logs that can be shown: names, addresses and answers replaced by keyed tokens, the same for the same key.

Addresses keep their prefixes (Xu et al., ICNP 2002, Crypto-PAn), as in dns/privacy.py; names their public suffix. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb import schema
from dnsnb.analysis.native import opened
from dnsnb.dns.privacy import Privacy
from dnsnb.errors import SettingError
from dnsnb.names import parts

LEAST_KEY = 16
MOST_KNOWN = 1_000_000  # tokens remembered, to be made once

_TOP = frozenset({"lan", "local", "home", "internal", "corp", "localdomain", "intranet", "private", "test", "example",
                  "invalid", "localhost", "onion", "arpa", "alt"})  # fmt: skip
#: words of protocols in names, which say nothing of anybody (RFC 8552 and the registry that it made)
_WORDS = frozenset({"_tcp", "_udp", "_tls", "_quic", "_dmarc", "_domainkey", "_ldap", "_kerberos", "_kpasswd", "_gc",
                    "_msdcs", "_sip", "_sips", "_http", "_https", "_dns", "_dns-sd", "_acme-challenge", "_mta-sts",
                    "_smtp", "_imaps", "_xmpp-client", "_xmpp-server", "_sites", "_25", "_443"})  # fmt: skip
_PLAIN = frozenset({"0.0.0.0", "::"})  # how a blocked name is answered, not an address of anybody
_MARKS = (" (CNAME ", " (answer ")

#: column of the frame -> how its values are replaced
_TEXTS = {"client": "client", "client_name": "word", "qname": "name", "rule": "rule", "upstream": "server",
          "source": "word", "answers": "answer"}  # fmt: skip
KEPT = tuple(name for name in schema.NAMES if name not in _TEXTS)


class Pseudonyms:
    """The tokens under one key (at least 16 octets): equal values get equal tokens, whichever log they stand in."""

    def __init__(self, key: bytes | str) -> None:
        raw = key.encode() if isinstance(key, str) else bytes(key)
        if len(raw) < LEAST_KEY:
            raise SettingError("key", f"{len(raw)} octets", f"at least {LEAST_KEY}, such as secrets.token_bytes(32)")
        self._key = raw if len(raw) <= 64 else hashlib.blake2b(raw).digest()
        self._addresses = Privacy(("pseudonyms",), self._key)
        self._known: dict[str, dict[str, str]] = {kind: {} for kind in {*_TEXTS.values(), "label"}}
        self._makers: dict[str, Callable[[list[str]], list[str]]] = {
            "client": lambda values: [self._addresses.pseudonym(v) for v in values],
            "name": self._names,
            "answer": lambda values: [self._answer(v) for v in values],
            "rule": lambda values: [self._rule(v) for v in values],
            "server": lambda values: [self._server(v) for v in values],
            "word": lambda values: [self._token("word", v, "w") for v in values],
        }

    def tokens(self, kind: str, values: Iterable[str]) -> list[str]:
        """Return the tokens of distinct values of a kind: client, name, answer, rule, server or word."""
        wanted = list(values)
        known = self._known[kind]
        new = [value for value in dict.fromkeys(wanted) if value not in known]
        fresh = dict(zip(new, self._makers[kind](new), strict=True))
        found = [fresh[value] if value in fresh else known[value] for value in wanted]
        if len(known) + len(fresh) > MOST_KNOWN:
            known.clear()
        if len(fresh) <= MOST_KNOWN:
            known |= fresh
        return found

    def table(self, rows: pa.Table, keep: Iterable[str] = ()) -> pa.Table:
        """Return an Arrow table with its texts replaced; columns that the schema doesn't know are left out."""
        columns: dict[str, Any] = {}
        for name in rows.column_names:
            if name in _TEXTS and name not in keep:
                columns[name] = self._column(rows.column(name), _TEXTS[name])
            elif name in schema.NAMES or name in keep:
                columns[name] = rows.column(name)
        return pa.table(columns)

    def _column(self, column: pa.ChunkedArray, kind: str) -> pa.Array:
        whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if pa.types.is_list(whole.type) or pa.types.is_large_list(whole.type):
            values = self._column(pa.chunked_array([whole.flatten()]), kind)
            offsets = pc.cumulative_sum(pc.fill_null(pc.list_value_length(whole), 0).cast(pa.int32()))
            offsets = pa.concat_arrays([pa.array([0], pa.int32()), offsets])
            return pa.ListArray.from_arrays(offsets, values, mask=pc.is_null(whole)).cast(pa.list_(pa.string()))
        coded = whole if pa.types.is_dictionary(whole.type) else whole.cast(pa.string()).dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        names = coded.dictionary.cast(pa.string())
        made = pa.array(self.tokens(kind, ["" if n is None else n for n in names.to_pylist()]), pa.string())
        if pa.types.is_dictionary(whole.type):
            return pa.DictionaryArray.from_arrays(coded.indices, made)
        return made.take(coded.indices)

    # --- one value ---

    def _token(self, kind: str, text: str, mark: str) -> str:
        digest = hashlib.blake2b(f"{kind}/{text}".encode("utf-8", "surrogateescape"), key=self._key, digest_size=8)
        return mark + base64.b32encode(digest.digest())[:10].decode().lower()

    def _names(self, names: list[str]) -> list[str]:
        return [self._name(name, *part) for name, part in zip(names, parts(names), strict=True)]

    def _name(self, name: str, sub: str, registered: str | None, suffix: str, kind: str) -> str:
        if name in (".", ""):
            return name
        if name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._reverse(name)
        if registered is None:
            return name if kind != "unknown" or name in _TOP else self._label(name)
        top = suffix if kind != "unknown" or suffix in _TOP else self._label(suffix)
        made = [self._token("domain", registered, "d"), top]
        below = registered
        for label in reversed(sub.split(".") if sub else []):
            below = f"{label}.{below}"
            made.insert(0, label if label in _WORDS else self._label(below))
        while len(made) > 2 and sum(map(len, made)) + len(made) > 253:
            del made[0]  # the tokens of a very long name
        return ".".join(made)

    def _label(self, name: str) -> str:
        return self._token("name", name, "h")

    def _reverse(self, name: str) -> str:
        """Return the reverse name of the address's pseudonym; what isn't one, or but a part, is one token."""
        labels = name.split(".")[:-2]
        try:
            if name.endswith(".in-addr.arpa"):
                text = ".".join([*reversed(labels), *["0"] * (4 - len(labels))])
            else:
                nibbles = "".join(reversed(labels)).ljust(32, "0")
                text = ":".join(nibbles[at : at + 4] for at in range(0, 32, 4))
            address = ipaddress.ip_address(self._addresses.pseudonym(str(ipaddress.ip_address(text))))
        except ValueError:
            return f"{self._label(name)}.{'.'.join(name.split('.')[-2:])}"
        whole = address.reverse_pointer.split(".")
        return ".".join(whole[len(whole) - 2 - len(labels) :])  # a prefix's pseudonym is the pseudonym's prefix

    def _answer(self, text: str) -> str:
        if text in _PLAIN:
            return text
        if (address := _address(text)) is not None:
            return self._addresses.pseudonym(address)
        words = text.split(" ")
        if all(word.isdecimal() for word in words[:-1]) and _is_name(words[-1]):  # a name; MX, SRV
            return " ".join([*words[:-1], *self.tokens("name", [words[-1].lower().removesuffix(".") or "."])])
        return self._token("answer", text, "a")

    def _rule(self, text: str) -> str:
        for mark in _MARKS:
            if mark in text:
                rule, _, rest = text.partition(mark)
                return f"{self._rule(rule)}{mark}{self._answer(rest.removesuffix(')'))})"
        head = "*." if text.startswith("*.") else "||" if text.startswith("||") else ""
        tail = next((t for t in ("^$important", "$important", "^") if text.endswith(t)), "")
        name = text[len(head) : len(text) - len(tail)]
        return head + self.tokens("name", [name])[0] + tail if _is_name(name) else self._token("rule", text, "r")

    def _server(self, text: str) -> str:
        address = _address(text)
        return self._addresses.pseudonym(address) if address is not None else self._token("server", text, "u")


def pseudonymise(frame: Any, key: bytes | str, *, keep: Iterable[str] = ()) -> Any:
    """Return a log with the same shape in which nobody stands: a frame of the same kind, held in memory.

    Clients, upstreams and addresses in answers become other addresses, which share as long a prefix as the true ones
    did; a name's registered domain and each label below it become tokens, its public suffix stays; rules, names of
    clients and sources become tokens too. The same `key` (at least 16 octets) gives the same tokens, here and in a
    server's log (`privacy=["pseudonyms"]`, its clients); who has it can tell them again, so keep it or throw it away.
    Columns that the schema doesn't know are left out, save those in `keep`, which stay as they are.

    It is no anonymity: times, sizes and habits stay, and who knows some of the traffic may recognise it.
    `frame.dns.anonymity()` tells how many clients share each value (k-anonymity); what is rare tells them again.

    >>> frame = pd.DataFrame({"client": ["10.0.0.1", "10.0.0.9"], "qname": ["www.example.co.uk", "example.co.uk"]})
    >>> shown = pseudonymise(frame, b"a key of ours, 32 octets or more")
    >>> [name.endswith(".co.uk") for name in shown["qname"]], shown["qname"][0].endswith("." + shown["qname"][1])
    ([True, True], True)
    """
    made = Pseudonyms(key)
    kept = frozenset(keep)
    if isinstance(frame, pd.DataFrame):
        return _pandas(frame, made, kept)
    lazy = opened(frame)
    rows = made.table(lazy.collect(backend="pyarrow").to_native(), kept)
    native = nw.to_native(frame, pass_through=True)
    library = type(native).__module__.partition(".")[0]
    if library == "polars":
        import polars as pl

        whole = pl.from_arrow(rows)
        return whole.lazy() if isinstance(native, pl.LazyFrame) else whole
    if library in ("duckdb", "_duckdb"):
        import duckdb

        return duckdb.from_arrow(rows)
    if library == "pyspark":
        return native.sparkSession.createDataFrame(rows)
    return rows


def _pandas(frame: pd.DataFrame, made: Pseudonyms, keep: frozenset[str]) -> pd.DataFrame:
    texts = [name for name in frame.columns if name in _TEXTS and name not in keep]
    columns: dict[str, Any] = {}
    for name in frame.columns:
        if name in texts:
            kind = pa.list_(pa.string()) if name == "answers" else None
            column = pa.array(frame[name], type=kind, from_pandas=True)
            whole = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
            columns[name] = _as_was(made._column(whole, _TEXTS[name]), frame[name])
        elif name in schema.NAMES or name in keep:
            columns[name] = frame[name]
    return pd.DataFrame(columns, index=frame.index, copy=False)


def _as_was(values: pa.Array, was: pd.Series) -> Any:
    """Return new values of the kind that the old ones were."""
    if isinstance(was.dtype, pd.CategoricalDtype):
        coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        return pd.Categorical(coded.cast(pa.string()).to_pandas())
    if isinstance(was.dtype, pd.ArrowDtype):
        return pd.array(values.cast(was.dtype.pyarrow_dtype), dtype=was.dtype)
    return pd.Series(values.to_pandas(), dtype=was.dtype).to_numpy() if was.dtype == object else pd.array(
        values.to_pandas(), dtype=was.dtype
    )  # fmt: skip


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    return bool(text) and text.isascii() and all(c.isalnum() or c in "._-" for c in text) and not text.isdecimal()
