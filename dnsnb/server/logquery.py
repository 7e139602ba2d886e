"""Which rows of the kept log are wanted: time, client, name, type, status, rcode, upstream, list, latency. Pure.

The same over every log driver: a driver only narrows what is read.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dnsnb.errors import SettingError
from dnsnb.schema import STATUSES, Columns
from dnsnb.server.rowfilter import is_below, is_in

FILTERS = (
    "last", "since", "until", "client", "name", "type", "status", "rcode", "upstream", "list", "slower", "faster",
)  # fmt: skip
MAX_TEXT = 1024
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LAST = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhdw])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Test = Callable[[Any], bool]


class LogQuery:
    """Filters that must all hold; in each, values separated by commas are alternatives. Raises SettingError.

    `last` is a duration (``90s``, ``15m``, ``1h``, ``7d``); `since` and `until` are ISO 8601 with a zone, or ms since
    the epoch; `client` an address or network; `name` a name with all below it, a pattern with ``*`` and ``?``, or
    ``/RE2/``; `slower` and `faster` bound the latency in ms.
    """

    def __init__(self, given: Mapping[str, str], now_us: int) -> None:
        self.since: int | None = None
        self.until: int | None = None
        self._tests: list[tuple[str, Test]] = []
        for key, text in given.items():
            if key not in FILTERS:
                raise SettingError(key, text, f"no such filter; there are {', '.join(FILTERS)}")
            if not text or len(text) > MAX_TEXT:
                raise SettingError(key, text, f"1 to {MAX_TEXT} characters")
            if key in ("last", "since", "until"):
                self._bound(key, text, now_us)
            else:
                self._tests.append(_TESTS[key](key, text))

    def _bound(self, key: str, text: str, now_us: int) -> None:
        if key == "until":
            self.until = _moment(key, text)
            return
        moment = _moment(key, text) if key == "since" else now_us - _duration(key, text)
        self.since = moment if self.since is None else max(self.since, moment)

    def apply(self, columns: Columns, count: int) -> tuple[Columns, int]:
        """Return the rows that are wanted, and how many they are."""
        keep: list[int] | range = range(count)
        if self.since is not None or self.until is not None:
            low = self.since if self.since is not None else 0
            high = self.until if self.until is not None else 1 << 62
            times = columns["time"]
            keep = [i for i in keep if low <= times[i] <= high]
        for name, test in self._tests:
            values = columns.get(name)
            if values is None:
                return {}, 0
            known: dict[Any, bool] = {}  # few distinct values a chunk: decide each once
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


def _values(key: str, text: str) -> list[str]:
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise SettingError(key, text, "a value, or several separated by commas")
    return found


def _words(column: str, *, upper: bool = False, known: tuple[str, ...] = ()) -> Callable[[str, str], tuple[str, Test]]:
    def make(key: str, text: str) -> tuple[str, Test]:
        words = [word.upper() if upper else word for word in _values(key, text)]
        for word in words:
            if known and word not in known:
                raise SettingError(key, word, f"one of {', '.join(known)}")
        return column, frozenset(words).__contains__

    return make


def _client(key: str, text: str) -> tuple[str, Test]:
    try:
        networks = tuple(ipaddress.ip_network(value, strict=False) for value in _values(key, text))
    except ValueError as error:
        raise SettingError(key, text, f"an address or a network: {error}") from None
    return "client", lambda value: is_in(value, networks)


def _name(key: str, text: str) -> tuple[str, Test]:
    if len(text) > 2 and text[0] == text[-1] == "/":
        return "qname", _pattern(key, text[1:-1])
    tests = [_name_test(value.lower().rstrip(".") or ".") for value in _values(key, text)]
    return "qname", lambda name: any(test(name) for test in tests)


def _name_test(text: str) -> Test:
    if "*" in text or "?" in text:
        parts = ({"*": ".*", "?": "."}.get(c) or re.escape(c) for c in re.sub(r"\*+", "*", text))
        if text.count("*") > 8:
            raise SettingError("name", text, "at most 8 asterisks")
        compiled = re.compile("".join(parts), re.DOTALL)
        return lambda name: compiled.fullmatch(name) is not None
    return lambda name: is_below(name, text)


def _pattern(key: str, text: str) -> Test:
    try:
        import re2
    except ImportError:
        why = "regular expressions need the extra 'regex' (google-re2), which matches in linear time"
        raise SettingError(key, f"/{text}/", why) from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        compiled = re2.compile(text, options)
    except re2.error as error:
        why = error.args[0] if error.args else "wrong"
        raise SettingError(
            key, f"/{text}/", f"not an RE2 expression: {why.decode() if isinstance(why, bytes) else why}"
        ) from None
    return lambda name: compiled.search(name) is not None


def _latency(is_floor: bool) -> Callable[[str, str], tuple[str, Test]]:
    def make(key: str, text: str) -> tuple[str, Test]:
        try:
            bound = float(text)
        except ValueError:
            bound = -1.0
        if not 0 <= bound < 1e9:
            raise SettingError(key, text, "milliseconds, such as 100")
        return "latency_ms", (lambda ms: ms >= bound) if is_floor else (lambda ms: ms <= bound)

    return make


_TESTS: dict[str, Callable[[str, str], tuple[str, Test]]] = {
    "client": _client,
    "name": _name,
    "type": _words("qtype", upper=True),
    "status": _words("status", known=STATUSES),
    "rcode": _words("rcode", upper=True),
    "upstream": _words("upstream"),
    "list": _words("list"),
    "slower": _latency(True),
    "faster": _latency(False),
}


def _duration(key: str, text: str) -> int:
    found = _LAST.fullmatch(text)
    if found is None:
        raise SettingError(key, text, "a duration such as 90s, 15m, 1h, 7d or 2w")
    return int(float(found[1]) * _UNITS[found[2]] * 1_000_000)


def _moment(key: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text) * 1000
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("it has no time zone")
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        why = f"a time such as 2026-01-31T12:00:00Z, or milliseconds since the epoch ({error})"
        raise SettingError(key, text, why) from None
