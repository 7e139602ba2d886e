"""Names taken apart: the public suffix list's own test cases, escapes, letters; and never an exception."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from dnsnb import names
from dnsnb.names.suffixes import Suffixes, suffixes


@pytest.mark.parametrize(
    ("name", "registered"),
    [
        # cases of the list's own kind: plain, unlisted, wildcard, exception, IDN, private
        ("com", None),
        ("example.com", "example.com"),
        ("b.example.com", "example.com"),
        ("example", None),
        ("b.example.example", "example.example"),
        ("uk.com", None),
        ("b.example.uk.com", "example.uk.com"),
        ("c.mm", None),
        ("a.b.c.mm", "b.c.mm"),
        ("www.test.ac.jp", "test.ac.jp"),
        ("c.kobe.jp", None),
        ("b.c.kobe.jp", "b.c.kobe.jp"),
        ("city.kobe.jp", "city.kobe.jp"),
        ("www.city.kobe.jp", "city.kobe.jp"),
        ("ck", None),
        ("test.ck", None),
        ("b.test.ck", "b.test.ck"),
        ("www.ck", "www.ck"),
        ("www.www.ck", "www.ck"),
        ("test.k12.ak.us", "test.k12.ak.us"),
        ("xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("me.github.io", "me.github.io"),
        ("github.io", None),
        ("a.me.github.io", "me.github.io"),
        ("nas.lan", "nas.lan"),
        ("localhost", None),
        (".", None),
        ("", None),
        (None, None),
        # a dot inside a label parts nothing
        ("a\\.b.example.com", "example.com"),
        ("x.a\\.b.com", "a\\.b.com"),
        ("x.a\\046b.com", "a\\.b.com"),
    ],
)
def test_registered_domains(name: str | None, registered: str | None) -> None:
    assert names.registered_domain([name]) == [registered]
    if name is not None:
        found = names.parts([name])[0]
        assert found.registered == registered
        if registered:
            assert names.spelled([name])[0] == f"{found.sub}.{registered}".removeprefix(".")
            assert registered.endswith(f".{found.suffix}")


def test_kinds_of_suffixes() -> None:
    kinds = [p.kind for p in names.parts(["a.example.co.uk", "me.github.io", "nas.lan", "printer"])]
    assert kinds == ["icann", "private", "unknown", "unknown"]
    assert names.registered_domain(["me.github.io"], private=False) == ["github.io"]
    assert names.parts(["me.github.io"], private=False)[0].kind == "icann"


@pytest.mark.parametrize(
    ("given_name", "wanted"),
    [
        ("WWW.Example.COM.", "www.example.com"),
        (b"WWW.Example.COM.", "www.example.com"),
        (bytearray(b"a b.example"), "a\\032b.example"),
        (b"\xff.example", "\\255.example"),
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("www.\u4f8b\u5b50.\u4e2d\u56fd.", "www.xn--fsqu00a.xn--fiqs8s"),
        ("a\\.b.example.com.", "a\\.b.example.com"),
        ("a\\046B.example", "a\\.b.example"),
        ("\\087ww.example", "www.example"),
        ("ends.in.a\\.", "ends.in.a\\."),
        ("ends.in.a\\\\.", "ends.in.a\\\\"),
        (".", "."),
        ("", ""),
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        ("two\nLines.example", "two\nlines.example"),
    ],
)
def test_any_spelling(given_name: Any, wanted: str) -> None:
    """Alone, and beside names that are spelled as in the frame, all functions take it for the same name."""
    assert names.spelled([given_name]) == [wanted]
    assert names.spelled(["a.example", given_name, "b.example"]) == ["a.example", wanted, "b.example"]
    assert names.spelled([wanted]) == [wanted]
    assert names.registered_domain([given_name]) == names.registered_domain([wanted])
    assert names.parts([given_name]) == names.parts([wanted])
    assert names.dga_score([given_name]).tolist() == names.dga_score([wanted]).tolist()
    pd.testing.assert_frame_equal(names.features([given_name]), names.features([wanted]))


@pytest.mark.parametrize("function", [names.parts, names.registered_domain, names.features, names.dga_score])
def test_what_is_no_list_of_names(function: Any) -> None:
    for alone in ("www.example.com", b"www.example.com"):
        with pytest.raises(TypeError, match="several names"):
            function(alone)
    with pytest.raises(TypeError, match="names: 17: a name is text or bytes"):
        function(["www.example.com", 17])


@given(st.lists(st.text("aB.\\04\u00e9\n", max_size=9), max_size=6))
def test_each_name_is_spelled_as_if_it_were_alone(given_names: list[str]) -> None:
    assert names.spelled(given_names) == [names.spelled([name])[0] for name in given_names]


RULES = [r for r in suffixes().exact if r.isascii()]
# what stands directly above a star has no rule by the list's algorithm; the reference takes it for a suffix
STARS = [f"x.{star}" for star in suffixes().stars]
REFERENCE = PublicSuffixList()


@given(
    labels=st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), max_size=3),
    end=st.sampled_from(RULES) | st.sampled_from(STARS) | st.sampled_from(list(suffixes().exceptions)),
)
def test_as_the_reference_says(labels: list[str], end: str) -> None:
    name = ".".join([*labels, end])
    assert names.registered_domain([name]) == [REFERENCE.privatesuffix(name)]


@given(st.lists(st.none() | st.text(max_size=30)))
def test_any_text_is_taken(given_names: list[str | None]) -> None:
    assert len(names.registered_domain(given_names)) == len(given_names)
    assert len(names.features(given_names)) == len(given_names)


@given(st.lists(st.text("abcABC019-_", max_size=80), min_size=1, max_size=40))
def test_entropy_is_shannons(texts: list[str]) -> None:
    for text, bits in zip(texts, names.entropy(texts), strict=True):
        counts = Counter(text)
        wanted = -sum(c / len(text) * math.log2(c / len(text)) for c in counts.values()) if text else 0.0
        assert bits == pytest.approx(wanted, abs=1e-9)


def test_features_by_hand() -> None:
    found = names.features(["x7f3.cdn.example.co.uk", "xn--bcher-kva.example", ".", None, "aab1.github.io"])
    assert found["etld1"].tolist()[:2] == ["example.co.uk", "xn--bcher-kva.example"]
    assert found["sub"].tolist() == ["x7f3.cdn", "", "", "", ""]
    assert found["labels"].tolist() == [5, 2, 0, 0, 3]
    assert found["length"].tolist() == [22, 21, 1, 0, 14]
    assert found["longest_label"].tolist()[:2] == [7, 13]
    assert found["sub_bytes"].tolist() == [8, 0, 0, 0, 0]
    assert found["digits"][0] == pytest.approx(2 / 7)
    assert found["vowels"][0] == 0
    assert found["distinct"][0] == 7
    assert found["entropy"][0] == pytest.approx(math.log2(7))
    assert found["idn"].tolist() == [False, True, False, False, False]
    assert found["suffix_kind"].tolist()[0] == "icann"


def test_columns_of_every_kind() -> None:
    listed = ["a.example.com", None, "b.example.org"]
    for made in (pa.array(listed), pa.chunked_array([listed]), pa.array(listed).dictionary_encode()):
        assert names.features(made)["etld1"].tolist()[::2] == ["example.com", "example.org"]


def test_the_list_is_read_by_its_sections() -> None:
    rules = Suffixes("com\n*.ck\n!www.ck\n// ===BEGIN PRIVATE DOMAINS===\nblogspot.com\n")
    assert rules.suffix("a.blogspot.com") == (2, "private")
    assert rules.suffix("a.blogspot.com", private=False) == (11, "icann")
    assert rules.suffix("x.www.ck") == (6, "icann")


@pytest.mark.parametrize("kind", ["string", "string[pyarrow]", "object", "category"])
def test_registered_domains_of_a_column(kind: Any) -> None:
    column = pd.Series(["www.example.com", None]).astype(kind)
    assert names.registered_domain(column) == ["example.com", None]
    assert [part.registered for part in names.parts(pa.Array.from_pandas(column))] == ["example.com", None]


def test_an_escaped_dot_parts_no_labels() -> None:
    table = names.features(["my\\.nas.home.example.com", "my\\046nas.example.com"])
    assert table["labels"].tolist() == [4, 3]
    assert table["longest_label"].tolist() == [7, 7]
