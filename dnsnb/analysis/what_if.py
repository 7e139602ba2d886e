"""What would another policy, or another cache, have done to this traffic? The log, decided again.

Works on distinct questions with counts, so that a log larger than memory passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

import narwhals as nw
import pandas as pd

from dnsnb.analysis.cachecurve import NEGATIVE_TTL, Points, cache_curve, points_of
from dnsnb.analysis.givenlists import Given, lists_of, policy_of
from dnsnb.analysis.judging import SETTLED, Fate, Judge
from dnsnb.analysis.native import columns_of, lazy, with_windows
from dnsnb.analysis.questions import counted, with_answer_text
from dnsnb.analysis.result import Result, result
from dnsnb.analysis.tally import Tally
from dnsnb.dns.policy import Policy
from dnsnb.errors import SettingError

_KEYS = ("client", "qname", "qtype", "status", "rule", "answers")
_SHOWN = 12


class Replay(Result):
    """One row for each distinct question and fate: `qname`, `qtype`, `was`, `replayed` ("passed", "blocked"), `change`
    ("newly blocked", "unblocked" or null), `list`, `rule`, `count` of queries, distinct `clients` where
    something was or is blocked; changes first.

    Its tables: `by_client`, `by_list`, `by_rule`, `overlap`, `only`, `lists`, `cache_curve`; `changes` are the rows
    that changed, `rows()` the log itself with its fates.
    """

    _tally: Tally
    _ways: Mapping[str, Callable[[], Any]]

    @property
    def changes(self) -> pd.DataFrame:
        """The questions that would be newly blocked, or no longer."""
        return pd.DataFrame(self[self["change"].notna()]).reset_index(drop=True)

    @property
    def by_client(self) -> Result:
        """A row a client: `queries`, `was_blocked`, `blocked`, `newly_blocked`, `unblocked`, `share_blocked` (0-1)."""
        return self._tally.by_client()

    @property
    def by_list(self) -> Result:
        """A row a list: `kind`, `rules` in it, queries it `decided`, `caught` (alone or not), `only` it catches,
        distinct `names`, `newly_blocked`."""
        return self._tally.by_list(self.lists)

    @property
    def by_rule(self) -> Result:
        """A row a rule that blocked: `list`, `rule`, `count` of queries, `names`, `newly_blocked`; busiest first."""
        return self._tally.by_rule()

    @property
    def overlap(self) -> Result:
        """Block lists against each other: how many blocked queries both catch; what each catches on the diagonal."""
        return self._tally.overlap(self.lists)

    @property
    def only(self) -> Result:
        """The names that one list alone catches: `list`, `qname`, `rule`, `count`; the busiest first."""
        return self._tally.only()

    @property
    def lists(self) -> pd.DataFrame:
        """What each list was taken for: `list`, `kind`, `taken_as`, `rules`, lines `skipped`."""
        return pd.DataFrame(self._ways["lists"]())

    @property
    def cache_curve(self) -> Result:
        """The hit ratio by cache size and TTL floor: `entries`, `ttl_floor` (s), `asked`, `hits`, `hit_ratio` (0-1)."""
        found: Result = self._ways["cache"]()
        return found

    def rows(self) -> pd.DataFrame:
        """Return the log's rows with `replayed`, `replayed_list`, `replayed_rule` and `change` beside them.

        For logs in memory; a lazy one raises SettingError: filter it first.
        """
        found: pd.DataFrame = self._ways["rows"]()
        return found

    def drawn(self) -> Result:
        """The busiest questions that change."""
        head = self.changes.head(_SHOWN)
        head["shown"] = [f"{row.qname} {row.qtype} {row.change}" for row in head.itertuples()]
        return result(head, "replay", self.read_as, {"kind": "bars", "name": "shown", "value": "count"})

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{escape(self.read_as)}</b></p>"]
        shown = [("What changes, the busiest first", pd.DataFrame(self).head(_SHOWN)), ("Clients", self.by_client)]
        shown += [("Lists", self.by_list)] if len(self.lists) else []
        for title, table in shown:
            parts.append(f"<h4>{escape(title)}</h4>{pd.DataFrame(table.head(_SHOWN)).to_html(index=False, border=0)}")
        return f'<div class="dnsnb-replay">{"".join(parts)}</div>'


def replay(
    frame: Any,
    *,
    blacklist: Given = (),
    whitelist: Given = (),
    allow_only: bool = False,
    policy: Policy | None = None,
    cache: Points = None,
    negative_ttl: int = NEGATIVE_TTL,
) -> Replay:
    """Return what another policy would have done to a log's questions, and another cache.

    `blacklist` and `whitelist` are names, files (paths), or several lists by name, such as ``{"ads": Path("ads.txt"),
    "mine": ["x.test"]}``; or else a `Policy` is given whole, with its groups, local names and hours. Names are decided
    as the server does, the names that answers lead through (CNAME cloaking) and their addresses too, as far as the log
    has `answers`. What was local, refused or limited keeps its fate. `cache` says which points `cache_curve` has: sizes
    in entries, or ``{"entries": [1000, 10000], "ttl_floor": [0, 300]}``; the log has no TTL of negative answers, which
    are taken to hold for `negative_ttl` seconds.

    Needs qname, qtype; uses client, status, rule, answers, time and ttl where they are. Raises SettingError for a list
    that can't be read, saying what it was taken for.

    >>> from dnsnb import simulate
    >>> lists = {"ads": simulate.ADS, "mine": ["adgrid.example"]}
    >>> replayed = replay(simulate.frame(hours=0.2, blocked=()), blacklist=lists)
    >>> replayed.by_list["list"].tolist()[:2], bool((replayed["change"] == "newly blocked").any())
    (['ads', 'mine'], True)
    """
    if policy is None:
        policy, taken = policy_of(blacklist, whitelist, allow_only)
    elif blacklist or whitelist or allow_only:
        raise SettingError("policy", policy, "holds its own lists; give it alone, or give blacklist and whitelist")
    else:
        taken = lists_of(policy)
    points = points_of(cache)
    judge = Judge(policy)
    tally = Tally()
    for row, fate in _decided(frame, judge):
        tally.add(row, fate)
    table = tally.questions()
    made = Replay(table)
    made.attrs = result(table, "replay", tally.read_as(), {"kind": "bars"}, allow_only=policy.allow_only).attrs
    curve: list[Result] = []

    def curve_of() -> Result:
        if not curve:
            curve.append(cache_curve(frame, points, negative_ttl, judge))
        return curve[0]

    ways = {"lists": lambda: taken, "cache": curve_of, "rows": lambda: _rows(frame, judge)}
    object.__setattr__(made, "_tally", tally)
    object.__setattr__(made, "_ways", ways)
    return made


def _decided(frame: Any, judge: Judge) -> Iterator[tuple[tuple[Any, ...], Fate]]:
    """Yield (client, qname, qtype, status, count) and its fate for each distinct question of a log.

    Blocked ones come last: their real answers are taken from where the same question was let through.
    """
    rows, keys = _keyed(frame, judge)
    seen: dict[tuple[Any, Any], str] = {}
    blocked = nw.col("status") == "blocked"
    wanted: set[tuple[Any, Any]] = set()
    passes: list[tuple[bool, Any]] = [(False, None)]
    if "status" in keys:
        passes = [(False, blocked.is_null() | ~blocked), (True, blocked)]
        for batch in counted(rows, "qname", "qtype", where=blocked):
            wanted.update(zip(batch.column("qname").to_pylist(), batch.column("qtype").to_pylist(), strict=True))
    for last, where in passes:
        for batch in counted(rows, *keys, where=where):
            columns = {name: batch.column(name).to_pylist() for name in (*keys, "count")}
            nothing = [None] * batch.num_rows
            values = [columns.get(name, nothing) for name in (*_KEYS, "second", "count")]
            for client, qname, qtype, status, rule, answers, second, count in zip(*values, strict=True):
                question = (qname, qtype)
                if last and status == "blocked":
                    answers = seen.get(question)
                elif answers and question in wanted:
                    seen.setdefault(question, answers)
                yield (
                    (client, qname, qtype, status, int(count)),
                    judge.fate(client, qname, qtype, status, rule, answers, second),
                )


def _keyed(frame: Any, judge: Judge) -> tuple[Any, list[str]]:
    """Return the log with what decides as columns that can be grouped by, and which of them there are."""
    have = columns_of(frame)
    keys = [name for name in _KEYS if name in have or name in ("qname", "qtype")]
    timed = judge.timed and "time" in have
    rows = lazy(with_answer_text(frame), *keys, *(["time"] if timed else []))
    if "status" in have:
        blocked = nw.col("status") == "blocked"
        if "answers" in have:  # those of a blocked row are ours
            rows = rows.with_columns(nw.when(~blocked | blocked.is_null()).then(nw.col("answers")).alias("answers"))
        if "rule" in have:
            rows = rows.with_columns(nw.when(blocked).then(nw.col("rule")).alias("rule"))
    if timed:
        rows = with_windows(rows, 60_000_000, "minute").with_columns((nw.col("minute") * 60).alias("second"))
        keys.append("second")
    return rows.select(*keys), keys


def _rows(frame: Any, judge: Judge) -> pd.DataFrame:
    """Return a frame in memory with its fates, row by row."""
    if isinstance(frame, nw.DataFrame | nw.LazyFrame):
        frame = nw.to_native(frame)
    if hasattr(frame, "to_pandas") and not isinstance(frame, pd.DataFrame):
        frame = frame.to_pandas()
    if not isinstance(frame, pd.DataFrame):
        raise SettingError(
            "rows", type(frame).__name__, "is lazy; filter it, and give what is left as a frame in memory"
        )
    rows, keys = _keyed(frame, judge)
    plain = rows.collect(backend="pandas").to_native().astype(object)
    plain = plain.where(plain.notna(), None)
    given = {name: plain[name].tolist() if name in keys else [None] * len(plain) for name in (*_KEYS, "second")}
    blocked = [status == "blocked" for status in given["status"]]
    seen: dict[tuple[Any, Any], str] = {}
    for qname, qtype, answers in zip(given["qname"], given["qtype"], given["answers"], strict=True):
        if answers:
            seen.setdefault((qname, qtype), answers)
    fates = []
    for number, (client, qname, qtype, status, rule, answers, second) in enumerate(
        zip(*(given[name] for name in (*_KEYS, "second")), strict=True)
    ):
        told = seen.get((qname, qtype)) if blocked[number] else answers
        fates.append(judge.fate(client, qname, qtype, status, rule, told, second))
    changes = [change_of(was, fate, status) for was, fate, status in zip(blocked, fates, given["status"], strict=True)]
    fated = ["blocked" if fate.blocked else "passed" for fate in fates]
    return frame.assign(
        replayed=pd.Categorical(fated, categories=["passed", "blocked"]),
        replayed_list=pd.array([fate.list for fate in fates], dtype="str"),
        replayed_rule=pd.array([fate.rule for fate in fates], dtype="str"),
        change=pd.array(changes, dtype="str"),
    )


def change_of(was: bool, fate: Fate, status: str | None) -> str | None:
    """Return "newly blocked", "unblocked", or None for no change."""
    if was == fate.blocked or status in SETTLED:
        return None
    return "newly blocked" if fate.blocked else "unblocked"
