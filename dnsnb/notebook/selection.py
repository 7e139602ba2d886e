"""What was selected in the view, as data, as a frame and as a pandas expression. Knows the frame's columns alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DIMENSIONS = ("client", "domain", "qtype", "status", "upstream", "list")
_TEXT = frozenset(
    ("client", "client_name", "transport", "qname", "qtype", "qclass", "rcode", "status", "list", "rule", "upstream")
) | {"flags"}
_NUMBERS = frozenset(("latency_ms", "ttl", "ede", "query_bytes", "response_bytes", "id"))
#: words of a term for several columns at once
_GROUPS = {
    "any": ("qname", "client", "client_name"),
    "who": ("client", "client_name"),
    "why": ("list", "rule"),
    "domain": ("qname",),
}


def select(frame: pd.DataFrame, selection: dict[str, Any] | None) -> pd.DataFrame:
    """Return the rows of a frame that a selection (`Dashboard.selection`) leaves; all of them for None.

    The data come from a browser: what they don't mean is passed over, never evaluated.
    """
    import pandas as pd

    if not selection:
        return frame
    keep = pd.Series(True, index=frame.index)
    values = selection.get("values")
    for dimension in DIMENSIONS:
        chosen = values.get(dimension) if isinstance(values, dict) else None
        if isinstance(chosen, list) and chosen:
            keep &= _one_of(frame, dimension, chosen)
    span = selection.get("span")
    if isinstance(span, list) and len(span) == 2:
        times = frame["time"].astype("int64")
        keep &= (times >= int(span[0])) & (times < int(span[1]))
    for term in selection.get("terms") or ():
        if isinstance(term, dict):
            keep &= _term(frame, term)
    return frame[keep]


def expression(selection: dict[str, Any] | None) -> str:
    """Return a selection as text for `frame.query(…, engine="python")`; empty when all rows are selected."""
    return str((selection or {}).get("expression") or "")


def _one_of(frame: pd.DataFrame, dimension: str, chosen: list[Any]) -> pd.Series:
    import pandas as pd

    if dimension != "domain":
        column = frame[dimension]
        return column.isin([v for v in chosen if v is not None]) | (column.isna() & (None in chosen))
    names = frame["qname"]
    keep = pd.Series(False, index=frame.index)
    for domain in chosen:
        keep |= names.isna() if domain is None else (names == domain) | names.str.endswith(f".{domain}")
    return keep.fillna(False).astype(bool)


def _term(frame: pd.DataFrame, term: dict[str, Any]) -> pd.Series:
    import pandas as pd

    column, op, value = term.get("column"), term.get("op"), term.get("value")
    everything = pd.Series(True, index=frame.index)
    if not isinstance(column, str):
        return everything
    if column in _NUMBERS and isinstance(value, int | float):
        numbers = frame[column]
        tests = {">": numbers.gt, "<": numbers.lt, ">=": numbers.ge, "<=": numbers.le}
        return tests[op](value).fillna(False).astype(bool) if op in tests else everything
    if op in ("is", "none") and column in _TEXT and isinstance(value, list):
        found = frame[column].isin([text for text in value if isinstance(text, str)])
        return found if op == "is" else ~found
    if op not in ("has", "not") or not isinstance(value, str):
        return everything
    found = pd.Series(False, index=frame.index)
    for name in _GROUPS.get(column, (column,)):
        if name == "answers":
            texts = frame["answers"].astype("str")
        elif name in _TEXT:
            texts = frame[name]
        else:
            return everything
        found |= texts.str.contains(value, case=False, regex=False).fillna(False).astype(bool)
    return ~found if op == "not" else found
