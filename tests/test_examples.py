"""Every example in a docstring runs, and everything that `dnsnb` offers at its door has one, or needs none."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import dnsnb

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "dnsnb").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
#: what shows itself in a notebook, or is made by another door
NEEDS_NONE = {"Dashboard", "Session", "FORMATS"}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("name", sorted(dnsnb._DOORS))
def test_what_is_at_the_door_says_how_it_is_used(name: str) -> None:
    if name in NEEDS_NONE:
        return
    text = inspect.getdoc(getattr(dnsnb, name)) or ""
    assert len(text.splitlines()) >= 3, f"dnsnb.{name} says too little"
    assert ">>> " in text, f"dnsnb.{name} has no example"
