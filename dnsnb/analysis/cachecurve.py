"""How often memory would have answered: hit ratio by cache size and TTL floor, from a log, without a cache.

Least recently used goes first, and answers end, as in dns/cache.py; sizes are in entries. Reuse distances: Mattson et
al. 1970; logs of more than `MOST_ROWS` rows are sampled by question, sizes in proportion: SHARDS, Waldspurger 2015.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.analysis.native import columns_of, lazy, with_windows
from dnsnb.analysis.questions import batches, with_answer_text
from dnsnb.analysis.result import Result, result
from dnsnb.errors import SettingError

if TYPE_CHECKING:
    from dnsnb.analysis.judging import Judge

MOST_ROWS = 2_000_000
NEGATIVE_TTL = 900  # in the log nothing says how long an answer without records holds (RFC 2308 5)
FAILURE_TTL = 5  # as the engine keeps failures (RFC 9520)
UNKNOWN_TTL = 300  # of a question that was blocked all the time
ENTRIES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
TTL_FLOORS = (0, 60, 300, 3_600)

Points = int | Iterable[int] | Mapping[str, Any] | None
_ASKED = ("cached", "stale", "forwarded", "failed", "unknown", "blocked")
_FAR = np.iinfo(np.int64).max


class CacheCurve(Result):
    """A row for each size and TTL floor; drawn as a line a floor over the sizes."""

    def drawn(self) -> Result:
        """The hit ratio with the sizes as rows and a column a floor."""
        wide = pd.DataFrame(self).pivot(index="entries", columns="ttl_floor", values="hit_ratio")
        wide.columns = pd.Index([f"TTL floor {floor} s" for floor in wide.columns], dtype="str")
        wide.index = pd.Index([f"{size:,}" for size in wide.index], dtype="str")
        chart = {"kind": "lines", "series": list(wide.columns), "unit": "hit ratio, by entries"}
        return result(wide, "cache_curve", self.read_as, chart)


def points_of(cache: Points) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sizes (entries) and TTL floors (s) of a curve; raises SettingError."""
    given: dict[str, Any] = {"entries": ENTRIES, "ttl_floor": TTL_FLOORS}
    if isinstance(cache, Mapping):
        for key, value in cache.items():
            if key not in given:
                raise SettingError(f"cache.{key}", value, "not known; there are entries and ttl_floor")
            given[key] = value
    elif cache is not None:
        given["entries"] = cache
    found = []
    for key, least in (("entries", 1), ("ttl_floor", 0)):
        value = given[key]
        values: list[Any] = [value] if not isinstance(value, Iterable) else list(value)
        for item in values:
            if isinstance(item, bool) or not isinstance(item, int | np.integer) or item < least:
                raise SettingError(f"cache.{key}", item, f"whole numbers, at least {least}")
        found.append(tuple(sorted({int(item) for item in values})))
    return found[0], found[1]


def cache_curve(
    frame: Any, points: tuple[tuple[int, ...], tuple[int, ...]], negative_ttl: int, judge: Judge | None = None
) -> Result:
    """Return `entries`, `ttl_floor` (s), `asked`, `hits`, `hit_ratio` (0-1): a row for each size and floor.

    Asked are the questions for upstreams that the policy of `judge` lets through. Needs time, qname, qtype and ttl.
    """
    questions, times, keeps, share, whole = _trace(frame, negative_ttl, judge)
    sizes, floors = points
    asked = len(questions)
    questions, times, keeps = _cacheable(questions, times, keeps)
    distance = reuse_distances(questions)
    rows = []
    for floor in floors:
        kept = np.where((keeps > 0) & (keeps < floor), floor, keeps)
        for size, hits in zip(sizes, _hits(distance, questions, times, kept, [s * share for s in sizes]), strict=True):
            ratio = hits / asked if asked else np.nan
            rows.append((size, floor, round(whole), round(whole * ratio) if asked else 0, ratio))
    table = pd.DataFrame(rows, columns=["entries", "ttl_floor", "asked", "hits", "hit_ratio"])
    read_as = (
        "the share of the questions for upstreams that a cache of so many entries answers, by the shortest TTL (s)"
    )
    if share < 1:
        read_as += f"; an estimate from every {1 / share:,.0f}th question"
    made = CacheCurve(table)
    params = {"negative_ttl": negative_ttl, "sampled": share}
    made.attrs = {"analysis": "cache_curve", "params": params, "read_as": read_as, "chart": {"kind": "lines"}}
    return made


def hits_by_size(questions: np.ndarray, times: np.ndarray, keeps: np.ndarray, sizes: Iterable[float]) -> list[int]:
    """Return how many of a trace's rows a cache of each size answers.

    `questions` are numbers, in order of time; `times` in ms; `keeps` the seconds that an answer got then holds: 0 is
    never kept, nor looked for.
    """
    questions, times, keeps = _cacheable(questions, times, keeps)
    return _hits(reuse_distances(questions), questions, times, keeps, sizes)


def _cacheable(
    questions: np.ndarray, times: np.ndarray, keeps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leave out the questions whose answers are never kept."""
    kept = np.zeros(int(questions.max()) + 1 if len(questions) else 0, bool)
    kept[questions[keeps > 0]] = True
    held = kept[questions] if len(questions) else np.zeros(0, bool)
    return questions[held], times[held], keeps[held]


def _hits(
    distance: np.ndarray, questions: np.ndarray, times: np.ndarray, keeps: np.ndarray, sizes: Iterable[float]
) -> list[int]:
    count = len(questions)
    if not count:
        return [0 for _ in sizes]
    order = np.argsort(questions, kind="stable")
    distance, times = distance[order], times[order] - times.min()
    span = int(times.max()) + 1
    _, place = np.unique(questions[order], return_inverse=True)
    # one line of time, question after question: the first row at which an answer got at a row has ended
    line = place.astype(np.int64) * span + times
    ends = np.minimum(times + (keeps[order] * 1000).astype(np.int64), span)
    ended = np.maximum(np.searchsorted(line, place.astype(np.int64) * span + ends), np.arange(1, count + 1))
    found = []
    for size in sizes:
        far = np.append(np.flatnonzero(distance >= size), count)
        pushed = far[np.searchsorted(far, np.arange(count), side="right")]
        following = np.minimum(ended, pushed).tolist()
        misses = at = 0
        while at < count:  # from miss to miss: the first rows of all questions are among them
            misses += 1
            at = following[at]
        found.append(count - misses)
    return found


def reuse_distances(questions: np.ndarray) -> np.ndarray:
    """Return for each row how many other questions came since the same was asked last; a huge number the first time.

    >>> reuse_distances(np.array([1, 2, 3, 1, 1, 2])).tolist()[3:]
    [2, 0, 2]
    """
    count = len(questions)
    order = np.argsort(questions, kind="stable")
    same = questions[order][1:] == questions[order][:-1]
    before = np.full(count, -1, np.int64)
    before[order[1:][same]] = order[:-1][same]
    # rows since then, less those that repeat what came since then: they are the rows before with a later `before`
    distance = np.arange(count) - before - 1 - _greater_before(before)
    distance[before < 0] = _FAR
    return distance


def _greater_before(values: np.ndarray) -> np.ndarray:
    """Return for each element how many before it are greater: by merging halves, bottom up."""
    count = len(values)
    size = 1 << max(0, (count - 1).bit_length())
    padded = np.full(size, -1, np.int64)  # -1 is greater than nothing
    padded[:count] = values
    place = np.arange(size)
    totals = np.zeros(size, np.int64)
    width = 1
    while width < size:
        rows = padded.reshape(-1, 2 * width)
        left, right = rows[:, :width], rows[:, width:]
        if width == 1:
            larger = (left > right).astype(np.int64)
        else:
            shift = (np.arange(len(rows)) * (size + 2))[:, None]
            ranks = np.searchsorted((left + shift).ravel(), (right + shift).ravel(), side="right")
            larger = width - (ranks.reshape(right.shape) - (np.arange(len(rows)) * width)[:, None])
        totals[place.reshape(-1, 2 * width)[:, width:].ravel()] += larger.ravel()
        inner = np.argsort(rows, axis=1, kind="stable")
        padded = np.take_along_axis(rows, inner, axis=1).ravel()
        place = np.take_along_axis(place.reshape(-1, 2 * width), inner, axis=1).ravel()
        width *= 2
    return totals[:count]


def _trace(
    frame: Any, negative_ttl: int, judge: Judge | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Return a log's questions for upstreams in order of time: numbers, ms, seconds that answers hold.

    And the share of questions that was taken, and how many rows there are in all, by the share that the judge passes.
    """
    have = columns_of(frame)
    wanted = [n for n in ("client", "status", "rule", "answers", "rcode") if n in have]
    rows = lazy(with_answer_text(frame), "time", "qname", "qtype", "ttl", *wanted)
    rows = rows.filter(~nw.col("time").is_null() & ~nw.col("qname").is_null())
    if "status" in have:
        rows = rows.filter(nw.col("status").is_in(list(_ASKED)) | nw.col("status").is_null())
    rows = with_windows(rows, 1000, "ms").with_columns(nw.col("ttl").cast(nw.Float64)).drop("time")
    share, held, count, whole = 1.0, [], 0, 0.0
    for batch in batches(rows):
        table = pa.Table.from_batches([batch])
        whole += len(table)
        lot = np.asarray(pd.util.hash_array(_keys(table), categorize=True), np.uint64)
        held.append((table, lot))
        if share < 1:
            held[-1] = _thinned(table, lot, share)
        count += len(held[-1][0])
        while count > MOST_ROWS:
            share /= 2
            held = [_thinned(table, lot, share) for table, lot in held]
            count = sum(len(table) for table, _ in held)
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), 1.0, 0.0
    table = pa.concat_tables([table for table, _ in held])
    columns = {name: table.column(name).to_pandas().astype(object) for name in table.column_names if name != "ms"}
    plain = pd.DataFrame(columns)
    plain = plain.where(plain.notna(), None)
    plain["ms"] = table.column("ms").to_numpy()
    plain = plain.sort_values("ms", kind="stable", ignore_index=True)
    if judge is not None:
        nothing = [None] * len(plain)
        given = [plain[n].tolist() if n in plain else nothing for n in ("client", "qname", "qtype", "status", "rule")]
        answers = plain["answers"].tolist() if "answers" in plain else nothing
        seconds = (plain["ms"] // 1000).tolist()
        passed = [not judge.fate(*row).blocked for row in zip(*given, answers, seconds, strict=True)]
        whole *= sum(passed) / len(passed)
        plain = plain[passed].reset_index(drop=True)
    numbers, _ = pd.factorize(plain["qname"].astype(str) + " " + plain["qtype"].astype(str))
    return numbers.astype(np.int64), plain["ms"].to_numpy(np.int64), _keeps(plain, numbers, negative_ttl), share, whole


def _keeps(plain: pd.DataFrame, numbers: np.ndarray, negative_ttl: int) -> np.ndarray:
    """Return how long an answer got at each row would hold: the TTL that an upstream gave, or the longest there was."""
    status = plain["status"] if "status" in plain else pd.Series(["forwarded"] * len(plain), dtype=object)
    ttl = pd.to_numeric(plain["ttl"], errors="coerce").to_numpy(np.float64)
    fresh = status.isin(["forwarded", "unknown"]).to_numpy() | status.isna().to_numpy()
    failed = status.eq("failed").to_numpy()
    if "rcode" in plain:
        failed = failed | plain["rcode"].isin(["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"]).to_numpy()
    negative = np.isnan(ttl) & ~failed & status.isin(["forwarded", "cached", "unknown"]).to_numpy()
    ttl = np.where(negative, negative_ttl, np.where(status.isin(["stale", "blocked"]).to_numpy(), np.nan, ttl))
    known = pd.DataFrame({"number": numbers, "first": np.where(fresh, ttl, np.nan), "any": ttl})
    longest = known.groupby("number")[["first", "any"]].transform("max")
    usual = longest["first"].fillna(longest["any"]).fillna(UNKNOWN_TTL).to_numpy()
    keeps = np.where(fresh & ~np.isnan(ttl), ttl, usual)
    return np.where(failed, FAILURE_TTL, keeps)


def _keys(table: pa.Table) -> np.ndarray:
    joined = pc.binary_join_element_wise(
        table.column("qname").cast(pa.string()), table.column("qtype").cast(pa.string()).fill_null(""), " "
    )
    return joined.to_pandas().to_numpy(dtype=object)


def _thinned(table: pa.Table, lot: np.ndarray, share: float) -> tuple[pa.Table, np.ndarray]:
    keep = lot < np.uint64(int(share * 2.0**64))
    return table.filter(pa.array(keep)), lot[keep]
