"""What is known to differ between frame libraries, silently or by failing, is not used in dnsnb/analysis."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOM = Path(__file__).resolve().parents[2] / "dnsnb" / "analysis"

#: methods of expressions and lazy frames that some library lacks or does in another way
FORBIDDEN = {
    "map_batches": "not on lazy frames", "map_elements": "not on lazy frames", "ewm_mean": "not on lazy frames",
    "pivot": "not on lazy frames", "join_asof": "wants sorted rows save on DuckDB", "rank": "not with over() on SQL",
    "split": "needs Arrow-backed pandas", "extract": "not in every library", "mode": "order differs",
    "gather_every": "depends on the order of rows", "with_row_index": "depends on the order of rows",
    "sample": "not the same twice", "unpivot": "not in every library", "rolling_mean": "depends on the order of rows",
    "kurtosis": "biased in some", "skew": "biased in some", "to_dummies": "not on lazy frames", "tail": "not on SQL",
}  # fmt: skip
#: pandas has methods of these names too: they are looked at in chains that begin with narwhals alone
OF_TEXT = {"contains", "starts_with", "ends_with", "len_chars", "to_lowercase", "slice"}
LIST_OPERATIONS = {"len", "get", "contains", "eval", "unique", "sum", "mean", "min", "max", "sort"}
MAKERS = {"lazy", "since_epoch_us", "folded"}


def chain(node: ast.expr) -> tuple[list[str], ast.expr]:
    """Return the names of a chain of attributes and calls, outermost last, and what it begins with."""
    names: list[str] = []
    while True:
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        elif isinstance(node, ast.BinOp):
            node = node.left
        elif isinstance(node, ast.UnaryOp):
            node = node.operand
        else:
            return names[::-1], node


class Lint(ast.NodeVisitor):
    """Collects what is wrong, with its line."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.known: set[str] = set()
        self.cumulated: set[int] = set()
        self.cast: set[int] = set()
        self.counted: list[int] = []

    def is_narwhals(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp):
            return self.is_narwhals(node.left) or self.is_narwhals(node.right)
        names, root = chain(node)
        if "collect" in names or "to_pandas" in names or not isinstance(root, ast.Name):
            return False
        if root.id in MAKERS:
            return isinstance(node, ast.Call | ast.Attribute)
        return root.id == "nw" or root.id in self.known

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, self.known = self.known, set(self.known)
        self.generic_visit(node)
        self.known = outer

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                (self.known.add if self.is_narwhals(node.value) else self.known.discard)(target.id)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Mod) and (self.is_narwhals(node.left) or self.is_narwhals(node.right)):
            self.say(node, "%: Arrow-backed pandas has none")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and self.is_narwhals(node.func.value):
            self.look(node, node.func.attr, chain(node.func.value)[0])
        self.generic_visit(node)

    def look(self, node: ast.Call, name: str, before: list[str]) -> None:
        of = before[-1] if before else ""
        if name in FORBIDDEN:
            self.say(node, f"{name}: {FORBIDDEN[name]}")
        if of == "str" and name in OF_TEXT and "fill_null" not in before and "cast" not in before:
            self.say(node, f"str.{name} of nulls differs: fill_null first")
        if of == "list" and name in LIST_OPERATIONS:
            self.say(node, f"list.{name}: plain pandas has no lists")
        if of == "str" and name in {"replace", "replace_all", "contains"}:
            text = " ".join(str(a.value) for a in node.args if isinstance(a, ast.Constant))
            if name != "contains" and set(text) & set("$\\("):
                self.say(node, f"{name} with groups: written $1 here and \\1 there")
            if "(?=" in text or "(?!" in text or "(?<" in text:
                self.say(node, "looking around: in Python's regular expressions alone")
        if name == "n_unique" and "col" in before and "fill_null" not in before:
            self.counted.append(node.lineno)
        if name == "over" and "cum_sum" in before:
            self.cumulated.add(id(node))
        if name == "cast" and isinstance(node.func, ast.Attribute):
            self.cast.add(id(node.func.value))

    def say(self, node: ast.expr, why: str) -> None:
        self.wrong.append(f"line {node.lineno}: {why}")


def faults(source: str) -> list[str]:
    lint = Lint()
    lint.visit(ast.parse(source))
    lines = source.splitlines()
    lint.wrong += ["cum_sum().over(): DuckDB gives decimals: cast it"] * len(lint.cumulated - lint.cast)
    lint.wrong += [
        f"line {n}: n_unique counts nulls on some: filter them, and say '# no nulls' on the line"
        for n in lint.counted
        if "# no nulls" not in lines[n - 1]
    ]
    return lint.wrong


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda p: p.stem)
def test_analyses_use_what_agrees(path: Path) -> None:
    assert not faults(path.read_text(encoding="utf-8"))


BAD = {
    "rows.with_columns(nw.col('x') % 3)": "%",
    "since_epoch_us('time') % 24": "%",
    "nw.col('q').str.contains('a')": "fill_null",
    "nw.col('q').str.len_chars()": "fill_null",
    "nw.col('q').fill_null('').str.replace_all('(a)', '$1')": "groups",
    "nw.col('q').fill_null('').str.contains('a(?=b)')": "looking around",
    "nw.col('q').str.split('.')": "split",
    "nw.col('x').ewm_mean(com=1)": "ewm_mean",
    "lazy(frame, 'x').pivot('x')": "pivot",
    "nw.col('x').map_batches(f)": "map_batches",
    "nw.col('answers').list.len()": "list.len",
    "nw.col('x').rank('dense').over('k', order_by='t')": "rank",
    "nw.col('x').cum_sum().over('k', order_by='t')": "decimals",
    "nw.col('client').n_unique()": "n_unique",
    "def f():\n    rows = lazy(frame, 'x')\n    rows.join_asof(rows)": "join_asof",
    "def f():\n    name = nw.col('q')\n    return name.str.ends_with('x')": "ends_with",
}

GOOD = (
    "nw.col('q').fill_null('').str.contains('a')",
    "nw.col('x').cum_sum().over('k', order_by='t').cast(nw.Int64)",
    "nw.col('client').n_unique()  # no nulls",
    "collected(lazy(frame, 'x')).pivot(index='x')",
    "def f():\n    rows = lazy(frame, 'x')\n    rows = collected(rows)\n    rows['x'].str.split('.')",
    "text % 3",
    "'a.b'.split('.')",
)


@pytest.mark.parametrize("code", BAD)
def test_the_lint_sees(code: str) -> None:
    found = faults(code)
    assert len(found) == 1, found
    assert BAD[code] in found[0]


@pytest.mark.parametrize("code", GOOD)
def test_the_lint_lets_pass(code: str) -> None:
    assert not faults(code)
