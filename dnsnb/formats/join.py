"""Queries and their answers become one row: who belongs to whom, decided by key and order, across the pieces of a
stream.

Knows numpy and pyarrow. What waits for its other half is bounded and counted, or put down (parted.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.formats.columns import HINT, KIND, NOTE, QUERY, RESPONSE, _coded
from dnsnb.formats.parted import Parted

Ints = np.ndarray[Any, np.dtype[Any]]
LIMIT = 400_000
TWICE = 1_000_000
"""How long after a note another may say the same again, in µs."""

AGAIN = 9
"""The kind of a note that only says again what another said: it is no row."""


class Joiner:
    """Pairs each query with the first answer of the same key at or after it, within `window_s` seconds.

    Of several that wait for the same answer, each takes the next one; where there are too few (retries), and always
    with `shared`, one answer serves many. Answers that nobody asked for stand as rows of their own.
    `keys` are columns; a null matches a null alone. A `NOTE` is laid over its row, before the answer; a `HINT` fills
    what
    is still empty, and is no row of its own. `latency` False: the log's times are too coarse to tell it. `lazy`:
    rows pass
    straight through until the log shows its first answer or note. `loose` names a key that hints lack, and answers with
    a 0 in it too: those serve any query that has no exact one. `hold` names the key, a whole number, by which events
    are put down until the end: where questions and answers are in files of their own. `twice` names the events of two
    notes on one query, of which the second says no more than the first; with `notes` any number may be on one query.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        window_s: float = 30.0,
        *,
        by_time: bool = False,
        latency: bool = True,
        lazy: bool = False,
        loose: str | None = None,
        shared: bool = False,
        hold: str | None = None,
        twice: tuple[str, str] | None = None,
        notes: bool = False,
    ) -> None:
        self.keys = keys
        self.window = int(window_s * 1_000_000)
        self.by_time = by_time
        self.latency = latency
        self.pairs = not lazy
        self.loose = loose
        self.shared = shared
        self.twice, self.notes = twice, notes
        self.held = Parted(hold) if hold is not None else None
        self.waiting: pa.Table | None = None
        self.unpaired = 0
        self.orphans = 0
        self.repeats = 0

    def feed(self, events: pa.Table) -> pa.Table:
        """Take events in the order of the log; return the rows that are complete."""
        if self.held is not None:
            self.held.add(events)
            return events.slice(0, 0)
        straight = self._straight(events)
        return straight if straight is not None else self._pair(events, last=False)

    def finish(self) -> Iterator[pa.Table]:
        """Yield the rows that still waited; their answers never came."""
        if self.held is not None:
            for part in self.held.parts():
                yield self._pair(part, last=True)
        elif self.waiting is not None:
            yield self._pair(None, last=True)

    def _straight(self, events: pa.Table) -> pa.Table | None:
        if not self.pairs and pc.max(events.column(KIND)).as_py() == QUERY:
            return events.drop_columns([c for c in (KIND, "event") if c in events.column_names])
        self.pairs = True
        return None

    def _pair(self, events: pa.Table | None, last: bool) -> pa.Table:
        parts = [t for t in (self.waiting, events) if t is not None]
        table = pa.concat_tables(parts, promote_options="permissive") if len(parts) > 1 else parts[0]
        table = table.combine_chunks()
        self.waiting = None
        times = table.column("time").cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        kinds = table.column(KIND).to_numpy(zero_copy_only=False)
        if self.by_time and len(times):
            order = np.lexsort((kinds, times))
            if (np.diff(order) != 1).any():
                table, times, kinds = table.take(pa.array(order)), times[order], kinds[order]
        codes = self._codes(table, self.keys)
        wide = codes if self.loose is None else self._codes(table, tuple(k for k in self.keys if k != self.loose))
        asked = np.flatnonzero(kinds == QUERY)
        taken = np.zeros(len(table), bool)
        again, once = self._again(table, codes, times)
        kinds = np.where(again, AGAIN, kinds)
        found: dict[int, Ints] = {}
        for kind in np.unique(kinds[(kinds > QUERY) & (kinds < AGAIN)]):
            answers = np.flatnonzero(kinds == kind)
            match = _first_after(codes if kind < HINT else wide, times, asked, answers, self.window, self.shared)
            neutral_key = self.loose is not None and pa.types.is_integer(table.column(self.loose).type)
            if neutral_key and kind == RESPONSE and (match < 0).any():
                neutral = answers[table.column(self.loose).to_numpy(zero_copy_only=False)[answers] == 0]
                open_ = match < 0
                match[open_] = _first_after(wide, times, asked[open_], neutral, self.window)
                own = _coded(table.column("qtype")).indices.fill_null(-1).to_numpy(zero_copy_only=False)
                match[open_] = _one_each(match[open_], own[asked[open_]], wide, neutral)
            found[int(kind)] = match
            taken[match[match >= 0]] = True
        hints = wide[kinds == HINT]
        self.orphans += int((~np.isin(hints, wide[asked])).sum()) if len(hints) else 0
        done = np.ones(len(asked), bool)
        alone = ~taken & (kinds > QUERY) & (kinds < HINT)
        if self.shared and RESPONSE in found and alone.any():
            answered = asked[found[RESPONSE] >= 0]
            again = _before(wide, times, alone & (kinds == RESPONSE), answered, self.window)
            self.repeats += int(again.sum())
            alone &= ~again
        if self.notes and len(asked):
            alone &= ~_before(codes, times, alone & (kinds == NOTE), asked, self.window)
        keep: list[Ints] = []
        if not last and len(once):  # what says it again may come yet
            keep = [once[alone[once] & (times[once] > max(0, times.max() - TWICE))]]
            alone[keep[0]] = False
        if not last and len(asked):
            first = found.get(RESPONSE, np.full(len(asked), -1))
            young = times[asked] > times.max() - self.window
            wait = (first < 0) & young
            if wait.sum() > LIMIT:
                early = np.flatnonzero(wait)[: int(wait.sum()) - LIMIT]
                self.unpaired += len(early)
                wait[early] = False
            done = ~wait
            if wait.any():
                # an answer or note that a waiting query has already drawn must wait with it
                drawn = np.unique(
                    np.concatenate([m[wait & (m >= 0)] for m in found.values()] or [np.zeros(0, np.int64)])
                )
                keep += [asked[wait], drawn.astype(np.int64)]
        if any(len(places) for places in keep):
            self.waiting = table.take(pa.array(np.sort(np.concatenate(keep))))
        rows = np.concatenate([asked[done], np.flatnonzero(alone)])
        index = {kind: np.concatenate([m[done], np.full(int(alone.sum()), -1)]) for kind, m in found.items()}
        order = np.argsort(rows, kind="stable")
        return self._laid_over(table, rows[order], {k: m[order] for k, m in index.items()}, times)

    def _again(self, table: pa.Table, codes: Ints, times: Ints) -> tuple[Any, Ints]:
        """Return which notes only say again what one before them said, and the places of those that may be repeated."""
        again, first = np.zeros(len(table), bool), np.zeros(0, np.int64)
        if self.twice is not None and "event" in table.column_names:
            once, second = (
                np.flatnonzero(pc.equal(table.column("event"), word).fill_null(False).to_numpy(zero_copy_only=False))
                for word in self.twice
            )
            places = _first_after(codes, times, once, second, TWICE, shared=False)
            again[places[places >= 0]] = True
            first = once[places < 0]
        return again, first

    def _codes(self, table: pa.Table, keys: tuple[str, ...]) -> Ints:
        total = np.zeros(len(table), np.int64)
        size = 1
        for key in keys:
            if key not in table.column_names:
                continue
            coded = _coded(table.column(key))
            part = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
            width = len(coded.dictionary) + 1
            if size * width > 1 << 60:
                _, total = np.unique(total, return_inverse=True)
                size = int(total.max(initial=0)) + 1
            total = total * width + part
            size *= width
        if size < (1 << 62) // (len(table) + 1):  # a code times a place in the table still fits: see `_first_after`
            return total
        return np.unique(total, return_inverse=True)[1].astype(np.int64)

    def _laid_over(self, table: pa.Table, rows: Ints, found: dict[int, Ints], times: Ints) -> pa.Table:
        out = {}
        take = pa.array(rows)
        picks = {
            k: pa.array(found[k], mask=found[k] < 0)
            for k in (NOTE, RESPONSE, HINT)
            if k in found and (found[k] >= 0).any()
        }
        for name in table.column_names:
            if name in (KIND, "event"):
                continue
            column = table.column(name)
            values = column.take(take)
            if name not in ("time", "id"):
                for pick in picks.values():
                    over = column.take(pick)
                    if over.null_count == len(over):
                        continue
                    values = over if values.null_count == len(values) else _coalesce(values, over)
            out[name] = values
        if "began" in out:  # an answer that stands alone may still know when it was asked
            began = out.pop("began")
            alone = pa.array(table.column(KIND).to_numpy()[rows] == RESPONSE)
            out["time"] = pc.if_else(pc.and_(alone, began.is_valid()), began, out["time"])
        answer = found.get(RESPONSE)
        if self.latency and answer is not None and len(rows):
            lag = np.where(answer >= 0, times[answer] - times[rows], 0) / 1000.0
            good = (answer >= 0) & (times[rows] != 0) & (lag >= 0)
            measured = pa.array(lag.astype(np.float32), mask=~good)
            known = out.get("latency_ms")
            out["latency_ms"] = measured if known is None else pc.coalesce(known, measured)
        return pa.table(out)


def _coalesce(values: Any, over: Any) -> Any:
    if pa.types.is_dictionary(values.type):
        return _coded(pc.coalesce(values.cast(pa.string()), over.cast(pa.string()))).cast(values.type)
    if values.null_count == 0:
        return values
    if pa.types.is_list(values.type):
        return pc.if_else(pc.is_valid(values), values, over)
    return pc.coalesce(values, over)


def _first_after(codes: Ints, times: Ints, asked: Ints, answers: Ints, window: int, shared: bool = True) -> Ints:
    """Return for each asked row the place of the first free answer of its code at or after it, or -1."""
    if not len(answers) or not len(asked):
        return np.full(len(asked), -1, np.int64)
    width = np.int64(len(codes) + 1)
    ranks = codes[answers] * width + answers
    order = np.argsort(ranks, kind="stable")
    ranks = ranks[order]
    first = np.searchsorted(ranks, codes[asked] * width + asked)

    def fits(place: Ints) -> tuple[Ints, Ints]:
        candidate = answers[order[np.minimum(place, len(order) - 1)]]
        good = (place < len(order)) & (codes[candidate] == codes[asked])
        return candidate, good & ((np.abs(times[candidate] - times[asked]) <= window) | (times[asked] == 0))

    candidate, good = fits(first)
    if not shared and len(asked) > 1:
        by_code = np.argsort(codes[asked], kind="stable")
        new = np.append(True, np.diff(codes[asked][by_code]) != 0)
        group = np.cumsum(new) - 1
        rank = np.arange(len(asked)) - np.flatnonzero(new)[group]
        # the k-th waiting query of a code takes at least the k-th answer after the first: a running maximum per code
        apart = group * (len(answers) + len(asked) + 1)
        free = np.empty(len(asked), np.int64)
        free[by_code] = np.maximum.accumulate(first[by_code] - rank + apart) - apart + rank
        own, taken = fits(free)
        candidate = np.where(taken, own, candidate)
        good |= taken
    return np.where(good, candidate, -1)


def _one_each(match: Ints, own: Ints, codes: Ints, answers: Ints) -> Ints:
    """Return matches where several drew the same answer and it does not tell their types (NXDOMAIN, to A and AAAA
    alike): each further type takes the next answer of the same code."""
    rows = np.flatnonzero(match >= 0)
    if not len(rows):
        return match
    kinds = match[rows].astype(np.int64) * (int(own.max(initial=0)) + 2) + own[rows] + 1
    first, group = np.unique(kinds, return_index=True, return_inverse=True)[1:]
    order = np.lexsort((first, match[rows][first]))
    new = np.append(True, np.diff(match[rows][first][order]) != 0)
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(len(first)) - np.flatnonzero(new)[np.cumsum(new) - 1]
    by_code = answers[np.lexsort((answers, codes[answers]))]
    place = np.empty(len(codes), np.int64)
    place[by_code] = np.arange(len(by_code))
    further = np.minimum(place[match[rows]] + rank[group], len(by_code) - 1)
    out = match.copy()
    out[rows] = np.where(codes[by_code[further]] == codes[match[rows]], by_code[further], match[rows])
    return out


def _before(codes: Ints, times: Ints, answers: Any, asked: Ints, window: int) -> Any:
    """Return which of some answers say again what was answered: a question of their code came before them."""
    places = np.flatnonzero(answers)
    out = np.zeros(len(codes), bool)
    if not len(asked):
        return out
    width = np.int64(len(codes) + 1)
    ranks = np.sort(codes[asked] * width + asked)
    last = ranks[np.maximum(np.searchsorted(ranks, codes[places] * width + places) - 1, 0)]
    question = (last % width).astype(np.int64)
    good = (last // width == codes[places]) & (question < places) & (times[places] - times[question] <= window)
    out[places[good]] = True
    return out
