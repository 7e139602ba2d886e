"""The upstreams that groups of clients have of their own: opened when a group names them, closed when none does."""

from __future__ import annotations

import logging
from typing import Any

from dnsnb.dns.forwarding import Forwarder
from dnsnb.dns.policy import Change, Policy
from dnsnb.dns.upstream import Target
from dnsnb.errors import SettingError
from dnsnb.server.upstreams import open_upstreams

log = logging.getLogger(__name__)


class GroupUpstreams:
    """Keeps `forwarder.views` as the policy's groups have it; use as a context manager, in the loop's thread."""

    def __init__(self, policy: Policy, forwarder: Forwarder) -> None:
        self.policy = policy
        self.forwarder = forwarder
        self._open: dict[str, list[Any]] = {}
        self._leave = policy.on_change(self._changed)
        self.settle()

    def settle(self) -> None:
        """Open what is missing, close what nobody asks any more."""
        wanted = self.policy.views()
        for view in self._open.keys() - wanted.keys():
            self.forwarder.views.pop(view, None)
            for upstream in self._open.pop(view):
                upstream.close()
        for view in wanted.keys() - self._open.keys():
            try:
                opened = open_upstreams(wanted[view], setting="groups.upstreams")
            except SettingError as error:  # "system", where the system names none: the change is kept and told already
                log.warning("%s", error)
                opened = []
            self._open[view] = opened
            self.forwarder.views[view] = [Target(upstream) for upstream in opened]

    def close(self) -> None:
        """Close them all."""
        self._leave()
        for upstreams in self._open.values():
            for upstream in upstreams:
                upstream.close()
        self._open.clear()
        self.forwarder.views.clear()

    def _changed(self, change: Change) -> None:
        if change.kind == "clients":
            self.settle()
