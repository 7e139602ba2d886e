"""README.md against the code: its tables are made from it; `DNSNB_WRITE_DOCS=1 pytest tests/test_docs.py` renews."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def rows(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def columns() -> str:
    from dnsnb import schema

    kinds = {
        "time": "datetime64[us, UTC]", "str": "str", "category": "category", "float32": "float32", "int16": "Int16",
        "int32": "Int32", "int64": "Int64", "list": "list of str",
    }  # fmt: skip
    return rows(("column", "dtype", "meaning"), [(f"`{c.name}`", kinds[c.kind], c.meaning) for c in schema.COLUMNS])


def channels() -> str:
    from dnsnb.server.responder import CHANNELS

    carried = {
        "dns/status": "running or not, addresses, upstreams and their health",
        "dns/info": "counters, drivers, notices; on change, at most once a second",
        "dns/log/event": "each query",
        "dns/log/": "the log itself: driver, rows kept, rows dropped",
        "dns/cache/": "the cache: entries, hits, misses, flushes",
        "dns/blacklist/": "the blacklist: its state, then what was added and removed",
        "dns/whitelist/": "the whitelist, likewise",
        "system/heartbeat": "every 30 s",
    }
    return rows(("channel", "carries"), [(f"`{c}`", carried[c]) for c in CHANNELS])


def routes() -> str:
    from dnsnb.server.routes import ROUTES

    by_path: dict[str, list[tuple[str, str]]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append((route.method, route.role or "anybody"))
    body = []
    for path, methods in by_path.items():
        body.append((f"`{path}`", ", ".join(f"{m} ({role})" for m, role in methods)))
    return rows(("path", "methods, and the least role that may use them"), body)


def formats() -> str:
    from dnsnb.formats import FORMATS

    return rows(("format", "what"), [(f"`{f.name}`", f.title) for f in FORMATS.values()])


def drivers() -> str:
    from dnsnb.drivers import DRIVERS

    return rows(("what", "drivers"), [(kind, ", ".join(f"`{n}`" for n in names)) for kind, names in DRIVERS.items()])


def settings() -> str:
    from dnsnb.config import Settings

    body = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, (), {}, []) else str(list(default) if isinstance(default, tuple) else default)
        body.append((f"`{name}`", f"`{shown}`" if shown else "", (field.description or "").replace("|", "\\|")))
    return rows(("setting", "default", "meaning"), body)


def measured() -> str:
    """What RESULTS.md has of cached answers, the first thing that people ask."""
    results = (ROOT / "tests" / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    cached = results.partition("### cached\n")[2].partition("\n### ")[0]
    body = [tuple(cell.strip() for cell in line.strip("|").split("|")[:3]) for line in cached.splitlines()[3:] if line]
    return rows(("cached answers over UDP, dnsnb's own log on", "answers a second", "dnsnb is"), body)


def analyses() -> str:
    """What each answers is the first statement of its docstring."""
    from dnsnb import analysis

    body = []
    for name in analysis.OF_A_FRAME:
        said = (getattr(analysis, name).__doc__ or "").strip().partition("\n")[0]
        said = re.split(r"[:;]|\. |\.$", said, maxsplit=1)[0].removeprefix("Return ").replace("|", "\\|")
        body.append((f"`{name}`", said[:1].upper() + said[1:], "yes" if name in analysis.TWINS else ""))
    return rows(("analysis", "what it gives", "live"), body)


TABLES: dict[str, Callable[[], str]] = {
    "columns": columns, "channels": channels, "routes": routes, "formats": formats, "drivers": drivers,
    "settings": settings, "analyses": analyses, "measured": measured,
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_readme_table(name: str) -> None:
    text = README.read_text(encoding="utf-8")
    table = TABLES[name]()
    block = re.compile(rf"(<!-- table: {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    found = block.search(text)
    assert found, f"README.md has no table {name!r}"
    if os.environ.get("DNSNB_WRITE_DOCS"):
        README.write_text(block.sub(lambda m: m[1] + table + "\n" + m[3], text), encoding="utf-8")
        return
    assert found[2].strip() == table, (
        f"the table {name!r} is old; renew it by DNSNB_WRITE_DOCS=1 pytest tests/test_docs.py"
    )


def test_every_setting_says_what_it_means() -> None:
    from dnsnb.config import Settings

    assert all(field.description for field in Settings.model_fields.values())


def test_readme_names_real_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README.read_text(encoding="utf-8"))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"README.md names make {target}"


def test_readme_python_compiles() -> None:
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)):
        compile(code, f"README.md block {number}", "exec")


def test_no_machine_paths_or_hosts() -> None:
    """What is committed speaks of the product alone."""
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    forbidden = re.compile(r"/(?:home|Users)/\w+/|/root/\w")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".ipynb", ".toml", ".js", ".css", ".yml", ""}
            and path.is_file()
            and name != "tests/test_docs.py"
        ):
            assert not forbidden.search(path.read_text(encoding="utf-8", errors="replace")), (
                f"a path of somebody's machine in {name}"
            )
