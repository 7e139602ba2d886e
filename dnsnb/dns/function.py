"""Policy as a Python function: called after the lists; its errors are counted and the query goes on.

No I/O; knows rules and local. The function runs in the engine's thread: it should be quick.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from dnsnb.dns.rules import Verdict
from dnsnb.dns.special import Reply
from dnsnb.dns.wire import name_to_text, qtype_text

NAME = "policy"


class Question(NamedTuple):
    """What the function is asked about: `name` as text, `type` ("AAAA"), and the `verdict` of the lists."""

    name: str
    type: str
    verdict: Verdict


class Asker(NamedTuple):
    """Who asks: `address`, `name` (None when none was given) and the names of its `groups`."""

    address: str
    name: str | None
    groups: tuple[str, ...]


class PolicyFunction:
    """A function `(question, client) -> verdict`; its `calls`, `errors` and `seconds` are counted, `last_error` kept.

    It returns None (the lists' verdict stands), "allow", "block", "nxdomain", "nodata", "refused", "drop", an address
    to answer with, or a `Verdict`. Whatever else it returns or raises is an error: the lists' verdict stands.
    """

    def __init__(
        self, function: Callable[[Question, Asker], Any], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.function = function
        self.rule = getattr(function, "__name__", type(function).__name__)
        self.calls = 0
        self.errors = 0
        self.seconds = 0.0
        self.last_error: str | None = None
        self._clock = clock

    def judge(self, asker: Asker, qname: bytes, qtype: int, verdict: Verdict) -> Verdict:
        """Return the function's verdict, or the lists' when it has none or fails."""
        self.calls += 1
        began = self._clock()
        try:
            said = self.function(Question(name_to_text(qname), qtype_text(qtype), verdict), asker)
            return verdict if said is None else self._verdict(said)
        except Exception as error:  # it is the user's code, and a query must not pay for its mistakes
            self.errors += 1
            self.last_error = f"{type(error).__name__}: {error}"[:300]
            return verdict
        finally:
            self.seconds += self._clock() - began

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for JSON."""
        return {
            "name": self.rule,
            "calls": self.calls,
            "errors": self.errors,
            "last_error": self.last_error,
            "mean_us": round(self.seconds / self.calls * 1e6, 1) if self.calls else None,
        }

    def _verdict(self, said: object) -> Verdict:
        if isinstance(said, Verdict):
            if said.action not in ("none", "allow", "block"):
                raise ValueError(f"a Verdict's action is none, allow or block, not {said.action!r}")
            return said if said.list else said._replace(list=NAME, rule=self.rule)
        if said in ("allow", "block"):
            return Verdict(str(said), NAME, self.rule)
        if said in ("nxdomain", "nodata", "refused", "drop"):
            return Verdict("block", NAME, self.rule, Reply(str(said)))
        if isinstance(said, str | ipaddress.IPv4Address | ipaddress.IPv6Address):
            address = ipaddress.ip_address(said)
            record = (1 if address.version == 4 else 28, None, address.packed)
            return Verdict("block", NAME, self.rule, Reply("records", (record,)))
        raise TypeError(f"returned {said!r}; a verdict is None, 'allow', 'block', an address or a Verdict")
