"""The score of made-up names: what it says of names that anybody can judge, and how good it is where the sample is."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import algorithms
from dga import figures, passed_by

from dnsnb.names.generated import dga_score, label_of, load
from dnsnb.names.ngrams import counted
from dnsnb.names.suffixes import parts

WORDS = ["wikipedia.org", "www.weather.com", "stackoverflow.com", "morning-paper.co.uk", "my-little-shop.blogspot.com"]
MADE_UP = ["xjw3qpkzt0v8h1.com", "qwjzkrvbtplx.info", "a8f3e09bc1d24e7f90.biz", "kq3v9zt7wxp1.ddns.net"]


def test_words_and_made_up_names() -> None:
    assert (dga_score(WORDS) < 0.9).all()
    assert (dga_score(MADE_UP) > 0.999).all()


def test_what_has_no_label_is_not_made_up() -> None:
    assert dga_score([".", "", None, "com", "co.uk", "xqzjwkvb"]).tolist() == [0.0] * 6


def test_the_longest_label_before_the_suffix_counts() -> None:
    assert [label_of(p) for p in parts(["a.longest-one.example.co.uk", "me.github.io", "localhost"])] == [
        "longest-one",
        "me",
        "",
    ]


@settings(max_examples=12)
@given(st.lists(st.none() | st.text(max_size=80), max_size=8))
def test_any_text_has_a_score_of_its_own(given_names: list[str | None]) -> None:
    scores = dga_score(given_names)
    assert ((scores >= 0) & (scores <= 1)).all()
    if given_names:  # whatever stands beside it
        assert dga_score(given_names[:1])[0] == pytest.approx(scores[0])


def test_kinds_of_algorithms_that_spell_nothing_are_seen() -> None:
    names = [f"{label}.com" for label in algorithms.made_up(400, 99, ["house", "river"]) if len(label) > 11]
    assert (dga_score(names) > 0.99).mean() > 0.7


def test_runs_are_counted_with_their_ends() -> None:
    counts = counted(["ab", "ab"], (1, 2))
    assert counts[2].sum() == 6  # ^a ab b$, twice
    assert counts[1].sum() == 8
    assert not counted([], (2,))[2].any()


def test_figures_by_hand() -> None:
    truth = np.array([True, True, False, False])
    assert figures(truth, np.array([0.9, 0.3, 0.5, 0.1]))[0] == 0.75  # three of four pairs in the right order
    assert figures(truth, np.array([0.9, 0.8, 0.2, 0.1])) == (1.0, 1.0, 1.0)


def test_the_table_is_small_and_whole() -> None:
    model = load()
    assert set(model.usual) == {1, 2, 3, 4, 5}
    inner = model.left >= 0
    assert (model.left[inner] < len(model.left)).all()
    assert model.limits[0] < model.limits[1]


def test_limits_by_hand() -> None:
    odds, weights = np.arange(10.0), np.ones(10)
    assert passed_by(odds, weights, 0.1) == 8  # one of ten is above
    assert passed_by(odds[::-1], weights, 0.1) == 8
    weights[9] = 11  # more than half of all are the last
    assert passed_by(odds, weights, 0.1) == 9


@pytest.mark.shared
def test_it_beats_what_is_known_on_families_that_it_never_saw(shared_data: Path) -> None:
    with (shared_data / "dga" / "dga_domains_sample.csv").open(encoding="utf-8") as file:
        sample = [row[:3] for row in csv.reader(file)]
    truth = np.array([row[0] == "dga" for row in sample])
    scores = dga_score([row[2] for row in sample])
    area, one_percent, tenth = figures(truth, scores)
    assert area > 0.954
    assert one_percent > 0.723
    assert tenth > 0.498
    # the limits hold for what it was not trained on
    assert (scores[~truth] > 0.99).mean() <= 0.01
    assert (scores[~truth] > 0.999).mean() <= 0.0015
    assert (scores[truth] > 0.99).mean() > 0.65
