"""What a replay comes to: counted by question, client, list and rule while the log passes by.

Knows judging and result. Memory goes with distinct names and clients, not with rows.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pandas as pd

from dnsnb.analysis.judging import Fate
from dnsnb.analysis.result import Result, result

#: (qname, qtype, was blocked, is blocked, list, rule)
_Question = tuple[Any, Any, bool, bool, Any, Any]


class Tally:
    """The counts of a replay."""

    def __init__(self) -> None:
        self.rows = self.new = self.gone = self.stay = self.unsure = 0
        self._questions: Counter[_Question] = Counter()
        self._askers: dict[_Question, set[int]] = {}
        self._clients: dict[Any, list[int]] = {}  # queries, was blocked, is blocked, newly, no longer
        self._numbers: dict[Any, int] = {}
        self._together: Counter[tuple[str, ...]] = Counter()
        self._together_new: Counter[str] = Counter()
        self._names: dict[str, set[Any]] = {}
        self._only: Counter[tuple[str, Any, Any]] = Counter()

    def add(self, row: tuple[Any, ...], fate: Fate) -> None:
        """Count `count` equal rows: (client, qname, qtype, status, count)."""
        client, qname, qtype, status, count = row
        was, now = status == "blocked", fate.blocked
        new, gone = now and not was, was and not now
        self.rows += count
        self.new += count * new
        self.gone += count * gone
        self.stay += count * (was and now)
        self.unsure += count * (gone and not fate.sure)
        question = (qname, qtype, was, now, fate.list, fate.rule)
        self._questions[question] += count
        if was or now:
            self._askers.setdefault(question, set()).add(self._numbers.setdefault(client, len(self._numbers)))
        held = self._clients.setdefault(client, [0, 0, 0, 0, 0])
        for place, true in enumerate((True, was, now, new, gone)):
            held[place] += count * true
        if now:
            self._together[fate.lists] += count
            for name in fate.lists:
                self._names.setdefault(name, set()).add(qname)
            if len(fate.lists) == 1:
                self._only[fate.lists[0], qname, fate.rule] += count
            if new and fate.list is not None:
                self._together_new[fate.list] += count

    def read_as(self) -> str:
        """Return the whole in one line."""
        line = (
            f"of {self.rows:,} queries {self.new:,} would be newly blocked, {self.gone:,} no longer; "
            f"{self.stay:,} stay blocked"
        )
        if self.unsure:
            line += f" ({self.unsure:,} of those no longer blocked might be by their answers, which the log lacks)"
        return line

    def questions(self) -> pd.DataFrame:
        """Return a row for each question and fate, changes first, then the busiest."""
        keys = list(self._questions)
        table = pd.DataFrame(
            {
                "qname": pd.array([k[0] for k in keys], dtype="str"),
                "qtype": pd.array([k[1] for k in keys], dtype="str"),
                "was": pd.Categorical(["blocked" if k[2] else "passed" for k in keys], ["passed", "blocked"]),
                "replayed": pd.Categorical(["blocked" if k[3] else "passed" for k in keys], ["passed", "blocked"]),
                "change": pd.array([_change(k[2], k[3]) for k in keys], dtype="str"),
                "list": pd.array([k[4] for k in keys], dtype="str"),
                "rule": pd.array([k[5] for k in keys], dtype="str"),
                "count": pd.array(list(self._questions.values()), dtype="int64"),
                "clients": pd.array([len(self._askers[k]) if k in self._askers else None for k in keys], dtype="Int64"),
            }
        )
        order = table.assign(same=table["change"].isna())
        order = order.sort_values(
            ["same", "count", "qname", "qtype", "list", "rule"], ascending=[True, False, *[True] * 4]
        )
        return order.drop(columns="same").reset_index(drop=True)

    def by_client(self) -> Result:
        """Return a row a client."""
        names = ("queries", "was_blocked", "blocked", "newly_blocked", "unblocked")
        table = pd.DataFrame({"client": pd.array(list(self._clients), dtype="str")})
        for place, name in enumerate(names):
            table[name] = pd.array([held[place] for held in self._clients.values()], dtype="int64")
        table["share_blocked"] = table["blocked"] / table["queries"].clip(lower=1)
        table = table.sort_values(["newly_blocked", "blocked", "client"], ascending=[False, False, True])
        chart = {"kind": "bars", "name": "client", "value": "newly_blocked"}
        return result(
            table.reset_index(drop=True), "replay", "queries of each client that would be newly blocked", chart
        )

    def by_list(self, lists: pd.DataFrame) -> Result:
        """Return a row a list."""
        decided: Counter[str] = Counter()
        for key, count in self._questions.items():
            if key[3] and key[4] is not None:
                decided[key[4]] += count
        caught, only = self._caught()
        kinds = dict(zip(lists.get("list", ()), lists.get("kind", ()), strict=True))
        rules = dict(zip(lists.get("list", ()), lists.get("rules", ()), strict=True))
        names = [name for name in dict.fromkeys([*kinds, *decided]) if rules.get(name) or decided[name]]
        table = pd.DataFrame(
            {
                "list": pd.array(names, dtype="str"),
                "kind": pd.array([kinds.get(name, "block") for name in names], dtype="str"),
                "rules": pd.array([rules.get(name) for name in names], dtype="Int64"),
                "decided": pd.array([decided[name] for name in names], dtype="int64"),
                "caught": pd.array([caught[name] for name in names], dtype="int64"),
                "only": pd.array([only[name] for name in names], dtype="int64"),
                "names": pd.array([len(self._names.get(name, ())) for name in names], dtype="int64"),
                "newly_blocked": pd.array([self._together_new[name] for name in names], dtype="int64"),
            }
        ).sort_values("caught", ascending=False, kind="stable", ignore_index=True)
        chart = {"kind": "bars", "name": "list", "value": "caught"}
        return result(table, "replay", "blocked queries that each list catches; only: that no other list does", chart)

    def by_rule(self) -> Result:
        """Return a row a rule."""
        rules: dict[tuple[Any, Any], list[Any]] = {}
        for (qname, _, was, now, name, rule), count in self._questions.items():
            if now:
                held = rules.setdefault((name, rule), [0, set(), 0])
                held[0] += count
                held[1].add(qname)
                held[2] += count * (not was)
        table = pd.DataFrame(
            {
                "list": pd.array([key[0] for key in rules], dtype="str"),
                "rule": pd.array([key[1] for key in rules], dtype="str"),
                "count": pd.array([held[0] for held in rules.values()], dtype="int64"),
                "names": pd.array([len(held[1]) for held in rules.values()], dtype="int64"),
                "newly_blocked": pd.array([held[2] for held in rules.values()], dtype="int64"),
            }
        ).sort_values(["count", "list", "rule"], ascending=[False, True, True], ignore_index=True)
        chart = {"kind": "bars", "name": "rule", "value": "count"}
        return result(table, "replay", "queries that each rule would block, the busiest rule first", chart)

    def overlap(self, lists: pd.DataFrame) -> Result:
        """Return the block lists against each other."""
        kinds = zip(lists.get("list", ()), lists.get("kind", ()), lists.get("rules", ()), strict=True)
        names = [name for name, kind, rules in kinds if kind == "block" and rules]
        names += sorted({name for lists in self._together for name in lists} - set(names))
        both: Counter[tuple[str, str]] = Counter()
        for caught, count in self._together.items():
            for one, other in product(caught, caught):
                both[one, other] += count
        columns = {other: [both[name, other] for name in names] for other in names}
        table = pd.DataFrame(columns, index=pd.Index(names, dtype="str", name="list"), dtype="int64")
        return result(table, "replay", "blocked queries that both lists catch; on the diagonal: that the list catches")

    def only(self) -> Result:
        """Return the names that one list alone catches."""
        found = self._only.most_common()
        table = pd.DataFrame(
            {
                "list": pd.array([key[0] for key, _ in found], dtype="str"),
                "qname": pd.array([key[1] for key, _ in found], dtype="str"),
                "rule": pd.array([key[2] for key, _ in found], dtype="str"),
                "count": pd.array([count for _, count in found], dtype="int64"),
            }
        ).sort_values(["count", "qname", "list"], ascending=[False, True, True], ignore_index=True)
        chart = {"kind": "bars", "name": "qname", "value": "count"}
        return result(table, "replay", "names that one list alone catches, the busiest first", chart)

    def _caught(self) -> tuple[Counter[str], Counter[str]]:
        caught: Counter[str] = Counter()
        only: Counter[str] = Counter()
        for names, count in self._together.items():
            for name in names:
                caught[name] += count
            if len(names) == 1:
                only[names[0]] += count
        return caught, only


def _change(was: bool, now: bool) -> str | None:
    return None if was == now else "newly blocked" if now else "unblocked"
