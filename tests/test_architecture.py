"""The house as ARCHITECTURE.md draws it: directions of imports, no cycles, the size of modules, a light front door."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dnsnb"
MODULES = sorted(p for p in PACKAGE.rglob("*.py"))

# room -> the rooms it may import; a room is a folder, or a module at the top
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "schema": {"errors", "dnsnb"},  # a frame has its analyses through the front door
    "names": set(),
    "background": {"errors"},
    "sse": {"errors"},
    "config": {"errors", "dns"},
    "dns": {"schema", "errors"},
    "drivers": {"dns", "schema", "errors"},
    "simulate": {"dns", "schema", "errors", "background"},
    "server": {"dns", "drivers", "names", "config", "sse", "schema", "errors", "background", "dnsnb"},
    "client": {"sse", "schema", "errors", "background", "dnsnb"},
    "formats": {"schema", "errors", "dns", "names", "dnsnb"},  # what is followed shows itself through the front door
    "analysis": {"schema", "errors", "dns", "names"},
    "notebook": {
        "client",
        "analysis",
        "formats",
        "simulate",
        "server",
        "config",
        "names",
        "schema",
        "errors",
        "background",
        "dnsnb",
    },
}
FRONT = {"dnsnb", "cli", "demo", "__main__", "commands", "testing"}  # the doors may open every room
SERVER_SEEN_BY_NOTEBOOK = {"dnsnb.server.embed", "dnsnb.server"}


def name_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "dnsnb"


def imports_of(path: Path) -> set[str]:
    """Modules of ours that a file imports at run time, also inside functions; type-checking blocks don't count."""
    found: set[str] = set()
    me = name_of(path)
    package = me if path.name == "__init__.py" else me.rpartition(".")[0]
    known = {name_of(p) for p in MODULES}

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(a.name for a in node.names if a.name.split(".")[0] == "dnsnb")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([base] if base else [])])
            if base.split(".")[0] == "dnsnb":
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    found.add(inner if inner in known else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found - {me}


IMPORTS = {name_of(p): imports_of(p) for p in MODULES}


@pytest.mark.parametrize("module", IMPORTS)
def test_imports_only_point_down(module: str) -> None:
    room = room_of(module)
    if room in FRONT:
        return
    assert room in ALLOWED, f"{module}: a new room; say in ARCHITECTURE.md and here what it may import"
    for other in IMPORTS[module]:
        assert room_of(other) in ALLOWED[room] | {room}, f"{module} imports {other}"
        if room == "notebook" and room_of(other) == "server":
            assert other in SERVER_SEEN_BY_NOTEBOOK, f"{module} imports {other}: a notebook meets a server at HTTP"


def test_no_cycles() -> None:
    done: set[str] = set()
    # the front door opens every room, but only when asked: everybody may read its version
    graph = {m: {o for o in others if o in IMPORTS and o != "dnsnb"} for m, others in IMPORTS.items()}

    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            raise AssertionError("import cycle: " + " -> ".join([*path[path.index(module) :], module]))
        if module in done:
            return
        for other in sorted(graph[module]):
            walk(other, (*path, module))
        done.add(module)

    for module in sorted(graph):
        walk(module, ())


# Each has one idea that would not gain from being cut; the number is its ceiling.
LONGER: dict[str, int] = {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_size(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGER.get(name_of(path), 400), f"{name_of(path)} has {lines} lines; cut it where its ideas part"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{name_of(path)} has no docstring"


def test_front_door_is_light() -> None:
    code = (
        "import time; began = time.perf_counter(); import dnsnb; took = time.perf_counter() - began; import sys;"
        "heavy = {'pandas', 'pyarrow', 'ipywidgets', 'aiohttp', 'pydantic', 'numpy', 'orjson', 'asyncio'};"
        "heavy &= set(sys.modules);"
        "print(sorted(heavy)); print(took)"
    )
    loaded, seconds = [], []
    for _ in range(3):  # the best of three: other programs use the machine too
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        first, second = run.stdout.splitlines()
        loaded.append(first)
        seconds.append(float(second))
    assert loaded[0] == "[]"
    assert min(seconds) < 0.15


def test_dns_is_free_of_io() -> None:
    forbidden = {
        "socket", "ssl", "threading", "aiohttp", "pandas", "pyarrow", "ipywidgets", "IPython", "asyncio", "http",
        "urllib.request",
    }  # fmt: skip
    for path in (PACKAGE / "dns").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        used |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level}
        found = {u for u in used if u in forbidden or u.split(".")[0] in forbidden}
        assert not found, f"{name_of(path)} imports {found}: dns/ decides, the edge does I/O"


def test_architecture_names_what_is_there() -> None:
    """Each room and each module that ARCHITECTURE.md names exists, and each room is named."""
    import re

    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for room in ALLOWED:
        assert re.search(rf"\b{room}(/|\.py)", text), f"ARCHITECTURE.md does not name {room}"
    for named in set(
        re.findall(r"\b((?:dns|server|client|drivers|formats|analysis|notebook|simulate)/[a-z_0-9]+\.py)\b", text)
    ):
        path = PACKAGE / named
        assert path.exists(), f"ARCHITECTURE.md names {named}, which is not there"
