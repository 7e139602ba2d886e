"""What each channel of the event stream last said, deltas applied: a late subscriber starts from it. No I/O."""

from __future__ import annotations

from typing import Any

#: channels that carry rows or moments, not a state
MOMENTS = ("dns/log/event", "system/")
LIST_CHANNELS = ("dns/blacklist/", "dns/whitelist/")
MOST_ENTRIES = 500


class ChannelStates:
    """The present content of each state channel, as a stream that had just opened would give it."""

    def __init__(self) -> None:
        self._states: dict[str, dict[str, Any]] = {}

    def take(self, channel: str, data: dict[str, Any]) -> bool:
        """Apply an event; False when a list's version shows that a delta is missing and it must be fetched anew."""
        if channel.startswith(MOMENTS):
            return True
        before = self._states.get(channel)
        if channel in LIST_CHANNELS and "entries" not in data:
            gap = before is not None and not _follows(before.get("version"), data.get("version"))
            self._states[channel] = _edited(before or {}, data)
            return not gap
        if channel in ("dns/log/", "dns/cache/"):
            slim = {k: v for k, v in data.items() if k != "newest"}
            self._states[channel] = {**(before or {}), **slim}
        else:
            self._states[channel] = data
        return True

    def get(self, channel: str) -> dict[str, Any] | None:
        """Return a channel's present content, or None before its first event."""
        return self._states.get(channel)

    def items(self) -> list[tuple[str, dict[str, Any]]]:
        """Return all channels that have said something."""
        return list(self._states.items())

    def clear(self) -> None:
        """Forget everything: another server stands behind the stream."""
        self._states.clear()


def _follows(before: Any, after: Any) -> bool:
    return not isinstance(before, int) or not isinstance(after, int) or after <= before + 1


def _edited(before: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """Return a list's state after a delta: newest names first, bounded."""
    added = [e if isinstance(e, dict) else {"name": e} for e in delta.get("added") or []]
    gone = {e.get("name") if isinstance(e, dict) else e for e in delta.get("removed") or []}
    gone |= {e["name"] for e in added}
    rest = [e for e in before.get("entries") or [] if e.get("name") not in gone]
    state = {**before, **{k: v for k, v in delta.items() if k not in ("added", "removed")}}
    state["entries"] = [*reversed(added), *rest][:MOST_ENTRIES]
    return state
