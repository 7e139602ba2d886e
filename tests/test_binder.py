"""binder/ as repo2docker reads it, held against pyproject.toml."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
POST_BUILD = ROOT / "binder" / "postBuild"


def version(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split("."))


def test_python_is_pinned_and_new_enough() -> None:
    environment = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text(encoding="utf-8"))
    pins = [d for d in environment["dependencies"] if isinstance(d, str) and d.startswith("python=")]
    assert len(pins) == 1
    assert version(pins[0].removeprefix("python=")) >= version(PROJECT["requires-python"].removeprefix(">="))
    assert "pip" in environment["dependencies"]


def test_post_build_is_executable_and_stops_at_the_first_error() -> None:
    assert os.access(POST_BUILD, os.X_OK)
    lines = POST_BUILD.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert any(re.fullmatch(r"set -e\w*o pipefail", line) for line in lines)


def test_post_build_installs_what_the_notebooks_import() -> None:
    text = POST_BUILD.read_text(encoding="utf-8")
    install = re.search(r'pip install .*"\.\[([a-z,]+)\]"', text)
    assert install, "postBuild must install the package itself: repo2docker does not, when binder/ exists"
    extras = set(install[1].split(","))
    assert extras <= set(PROJECT["optional-dependencies"])
    wanted = set(PROJECT["dependencies"]) | {d for e in extras for d in PROJECT["optional-dependencies"][e]}
    installed = {re.split(r"[<>=\[ ]", d)[0].replace("-", "_") for d in wanted} | {"dnsnb", "IPython", "numpy"}
    installed |= {"psutil"}  # every kernel has it: ipykernel needs it
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "code":
                continue
            code = re.sub(r"^[%!].*$", "", cell.source, flags=re.MULTILINE)
            tree = ast.parse(code, mode="exec", type_comments=False)
            names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            foreign = {n for n in names if n not in __import__("sys").stdlib_module_names}
            assert foreign <= installed, f"{path.name} imports {foreign - installed}, which Binder does not install"


def test_binder_needs_no_build_strings_or_root() -> None:
    assert "sudo" not in POST_BUILD.read_text(encoding="utf-8")
    assert "apt" not in POST_BUILD.read_text(encoding="utf-8")
