"""Which rows of the log a stream wants: `?filter=status:blocked,cached qname:example.com`. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from dnsnb.errors import SettingError
from dnsnb.schema import STATUSES, Columns

KEYS = ("status", "client", "qtype", "qname", "rcode")
MAX_TEXT, MAX_VALUES = 2048, 64
_WORD = re.compile(r"[A-Z0-9]{1,16}")


class RowFilter:
    """Terms `key:value,value` that must all hold; values of one term are alternatives.

    Keys are `status`, `client` (an address or a network), `qtype`, `rcode`, and `qname` (a name, with all below it).
    Equal filters are equal objects by `text`, so that a batch is encoded once for all who asked for the same.
    """

    __slots__ = ("_tests", "text")

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise SettingError("filter", text, f"at most {MAX_TEXT} characters")
        tests: dict[str, Callable[[Any], bool]] = {}
        terms = []
        for term in text.split():
            key, colon, rest = term.partition(":")
            values = tuple(dict.fromkeys(v for v in rest.split(",") if v))
            if key not in KEYS or not colon or not values or len(values) > MAX_VALUES:
                raise SettingError("filter", term, f"KEY:VALUE[,VALUE…] with a key of {', '.join(KEYS)}")
            if key in tests:
                raise SettingError("filter", term, f"{key} stands twice; separate its values by commas")
            tests[key], canonical = _test(key, values)
            terms.append(f"{key}:{','.join(canonical)}")
        if not tests:
            raise SettingError("filter", text, f"KEY:VALUE[,VALUE…] with a key of {', '.join(KEYS)}")
        self._tests = tests
        self.text = " ".join(sorted(terms))

    def apply(self, columns: Columns, count: int) -> tuple[Columns, int]:
        """Return the rows that pass, and how many they are."""
        keep: list[int] | range = range(count)
        for key, test in self._tests.items():
            values = columns.get(key)
            if values is None:
                return {}, 0
            known: dict[Any, bool] = {}  # few distinct values a batch: decide each once
            kept = []
            for i in keep:
                value = values[i]
                good = known.get(value)
                if good is None:
                    good = known[value] = value is not None and test(value)
                if good:
                    kept.append(i)
            keep = kept
        if len(keep) == count:
            return columns, count
        return {name: [values[i] for i in keep] for name, values in columns.items()}, len(keep)

    def __repr__(self) -> str:
        return f"<rows where {self.text}>"


def _test(key: str, values: tuple[str, ...]) -> tuple[Callable[[Any], bool], list[str]]:
    if key == "status":
        for value in values:
            if value not in STATUSES:
                raise SettingError("filter", value, f"a status is one of {', '.join(STATUSES)}")
        return frozenset(values).__contains__, sorted(values)
    if key in ("qtype", "rcode"):
        words = sorted({v.upper() for v in values})
        for word in words:
            if not _WORD.fullmatch(word):
                raise SettingError("filter", word, f"a {key} such as {'AAAA' if key == 'qtype' else 'NXDOMAIN'}")
        return frozenset(words).__contains__, words
    if key == "client":
        try:
            networks = sorted({ipaddress.ip_network(v, strict=False) for v in values}, key=str)
        except ValueError as error:
            raise SettingError("filter", ",".join(values), f"an address or a network: {error}") from None
        return lambda text: is_in(text, tuple(networks)), [str(n) for n in networks]
    names = sorted({v.lower().rstrip(".") for v in values})
    return lambda text: any(is_below(text, name) for name in names), names


def is_in(text: str, networks: tuple[Any, ...]) -> bool:
    """Whether an address, as text, is in one of some networks."""
    address = _address(text)
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=4096)
def _address(text: str) -> Any:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def is_below(name: str, parent: str) -> bool:
    r"""Whether a name is a parent or below it, by labels: `www\.blocked` (one label) is not below `blocked`."""
    if not parent or name == parent:
        return True
    if not name.endswith("." + parent):
        return False
    head = name[: -len(parent) - 1]
    return (len(head) - len(head.rstrip("\\"))) % 2 == 0
