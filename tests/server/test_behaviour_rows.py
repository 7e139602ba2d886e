"""Every row of the behaviours' table is the id of a test, and what we chose of what it leaves open is written down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import test_behaviours
import test_behaviours_kept
import test_behaviours_policy
from scripted import ROWS

from dnsnb.dns.choices import CHOICES


def ids() -> set[str]:
    """The rows that tests are marked with."""
    found: set[str] = set()
    for module in (test_behaviours, test_behaviours_kept, test_behaviours_policy):
        for text, function in vars(module).items():
            if text.startswith("test_"):
                for mark in getattr(function, "pytestmark", ()):
                    found |= {one for made in _params(mark) for one in made.split("+")}
    return found


def _params(mark: Any) -> list[str]:
    if mark.name != "parametrize":
        return []
    return [p.id for p in mark.args[1] if hasattr(p, "id") and isinstance(p.id, str)]


def test_each_row_has_its_test() -> None:
    marked = ids()
    assert [row for row in ROWS if not any(one == row or one.startswith(f"{row}-") for one in marked)] == []


def test_each_choice_is_of_a_row_or_an_rfc_and_says_why() -> None:
    for choice in CHOICES:
        assert set(choice.rows) <= set(ROWS), choice.what
        assert re.search(r"RFC \d+", choice.why), choice.what
    text = (Path(__file__).resolve().parents[2] / "ARCHITECTURE.md").read_text()
    assert "dns/choices.py" in text


@pytest.mark.shared
def test_the_rows_are_those_of_the_table(shared_data: Path) -> None:
    table = shared_data.parent / "dns-behaviours.md"
    if not table.is_file():
        pytest.skip("the table is not here")
    found = re.findall(r"^\| ([a-z0-9_]+-[A-Za-z0-9_-]+) \|", table.read_text(), re.MULTILINE)
    assert found == ROWS
