"""Names that look like others: each kind of slip by hand, other scripts, and that every slip is within distance one."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsnb import analysis
from dnsnb.analysis.homoglyphs import decoded, skeleton


def asked(*qnames: str) -> pd.DataFrame:
    return pd.DataFrame({"client": "10.0.0.1", "qname": qnames})


@pytest.mark.parametrize(
    ("qname", "like", "how"),
    [
        ("gogole.com", "google.com", "transposition"),
        ("mail.gogle.com", "google.com", "omission"),
        ("googgle.com", "google.com", "repetition"),
        ("g0ogle.com", "google.com", "look"),
        ("paypa1.com", "paypal.com", "look"),
        ("rnicrosoft.com", "microsoft.com", "look"),
        ("googlr.com", "google.com", "keyboard"),
        ("coogle.com", "google.com", "bit"),
        ("goo-gle.com", "google.com", "hyphen"),
        ("xgoogle.com", "google.com", "insertion"),
        ("googke.com", "google.com", "keyboard"),
        ("goagle.com", "google.com", "replacement"),
        ("google.top", "google.com", "tld swap"),
        ("www.g0ogle.co.uk", "google.com", "look, tld swap"),
        ("google.map.fastly.net", "google.com", "hosted"),
        ("paypa1.github.io", "paypal.com", "look, hosted"),
    ],
)
def test_each_slip(qname: str, like: str, how: str) -> None:
    found = analysis.lookalikes(asked(qname), of=["google.com", "microsoft.com", "paypal.com"])
    assert found[["like", "how"]].values.tolist() == [[like, how]]


def test_what_is_known_and_what_is_far_is_no_lookalike() -> None:
    frame = asked("google.com", "mail.google.com", "example.com", "goo.com", "gooooogle.com", "ingg.com")
    assert not len(analysis.lookalikes(frame, of=["google.com", "ing.com", "gogle.com"]))


def test_of_is_several() -> None:
    with pytest.raises(TypeError, match="several"):
        analysis.lookalikes(asked("a.example"), of="google.com")


def distance(a: str, b: str) -> int:
    """Damerau-Levenshtein (optimal string alignment), as in every textbook."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(row[j - 1] + 1, rows[i - 1][j] + 1, rows[i - 1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                best = min(best, rows[i - 2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


@settings(max_examples=20)
@given(label=st.from_regex(r"[a-e]{4,6}", fullmatch=True), known=st.from_regex(r"[a-e]{5,6}", fullmatch=True))
def test_found_is_what_is_within_one(label: str, known: str) -> None:
    found = analysis.lookalikes(asked(f"{label}.com"), of=[f"{known}.com"])
    # pairs of letters that are read as one (cl, d) are farther apart, and meant
    near = distance(label, known) == 1 or (label != known and label.replace("cl", "d") == known.replace("cl", "d"))
    assert bool(len(found)) == near


def test_homoglyphs_by_hand() -> None:
    frame = asked(
        "www.xn--pple-43d.com",  # Cyrillic а
        "xn--80ak6aa92e.com",  # all Cyrillic
        "xn--bcher-kva.example",
        "xn--googl-3we.com",
        "xn--a-.com",
        "plain.com",
    )
    found = analysis.homoglyphs(frame).set_index("domain")
    assert found.loc["xn--pple-43d.com", ["shown", "like", "verdict"]].tolist() == [
        "аpple.com",
        "apple.com",
        "homoglyph",
    ]
    assert found["scripts"]["xn--pple-43d.com"] == "Cyrillic Latin"
    assert found["like"]["xn--80ak6aa92e.com"] == "apple.com"
    assert found["verdict"]["xn--bcher-kva.example"] == ""
    assert found["like"]["xn--googl-3we.com"] == "google.com"
    assert "plain.com" not in found.index
    assert analysis.homoglyphs(frame)["verdict"].tolist()[:3] == ["homoglyph"] * 3  # the sure ones first


def test_a_homoglyph_of_what_is_asked_beside_it() -> None:
    found = analysis.homoglyphs(
        asked("shop.clear-harbor.example", f"xn--{'cleаr-harbor'.encode('punycode').decode()}.example"), of=[]
    )
    assert found["verdict"].tolist() == ["homoglyph"]
    assert found["like"].tolist() == ["clear-harbor.example"]


@given(st.text(max_size=20))
def test_any_text_has_a_skeleton(text: str) -> None:
    assert isinstance(skeleton(text), str)
    assert skeleton("раура1") == skeleton("paypal")


def puny(name: str) -> str:
    labels = (label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in name.split("."))
    return ".".join(labels)


@pytest.mark.parametrize(
    ("asked_for", "shown", "like"),
    [
        # the known name whole before somebody's domain, its label alone, and with a suffix of two labels
        ("p\u0430ypal.com.evil.example", "p\u0430ypal.com.evil.example", "paypal.com"),
        ("www.p\u0430ypal.evil.example", "p\u0430ypal.evil.example", "paypal.com"),
        ("b\u0430rclays.co.uk.a.evil.example", "b\u0430rclays.co.uk.a.evil.example", "barclays.co.uk"),
        # short ones only with their suffix
        ("\u0456ng.com.evil.example", "\u0456ng.com.evil.example", "ing.com"),
        ("v\u00edsa.evil.example", None, None),
        # somebody's own name before his own, and nobody's
        ("m\u00fcnchen.munchen.example", None, None),
        ("b\u00fccher.shop.example", None, None),
        # the registered domain itself; its suffix is shown as well
        ("www.\u0430pple.\u0440\u0444", "\u0430pple.\u0440\u0444", "apple.com"),
    ],
)
def test_every_label_is_looked_at(asked_for: str, shown: str | None, like: str | None) -> None:
    for qname in (puny(asked_for), f"{puny(asked_for).upper()}."):
        found = analysis.homoglyphs(asked(qname, "www.plain.example"))
        assert found[["shown", "like", "verdict"]].values.tolist() == ([[shown, like, "homoglyph"]] if like else [])


def test_the_worst_label_is_told_and_counted_once() -> None:
    evil = puny("p\u0430ypal.com.evil.example")
    frame = asked(evil, f"login.{evil}", puny("\u0430b\u03b2.evil.example"), "xn--99999999.evil.example")
    found = analysis.homoglyphs(frame)
    assert found["domain"].tolist() == ["evil.example"] * 3
    assert found["verdict"].tolist() == ["homoglyph", "mixed scripts", "undecodable"]
    assert found[["queries", "names"]].values.tolist() == [[2, 2], [1, 1], [1, 1]]


@pytest.mark.parametrize(
    "label",
    ["xn--paypal-", "xn--", "xn---", "xn--99999999999", "xn--" + "9" * 59, "xn--a\\.b-cva", "paypal", "xn--\u00e9"]
    + [puny(f"com{sign}evil") for sign in "\u2044\u2215\u3002\uff0e\uff0f\u2024"],
)
def test_what_is_no_a_label_or_would_deceive_is_not_decoded(label: str) -> None:
    assert decoded(label) is None


@settings(max_examples=8)
@given(st.lists(st.from_regex(r"xn--[a-z0-9-]{0,12}", fullmatch=True), max_size=5))
def test_hostile_labels_are_told_apart(labels: list[str]) -> None:
    found = analysis.homoglyphs(asked(*(f"{label}.com" for label in labels)))
    assert set(found["verdict"]) <= {"homoglyph", "mixed scripts", "undecodable", ""}


@pytest.mark.parametrize("text", ["a\ud800b", "\u202eabc", "a\u2028b", "a\x85b", "a\u200bb", ""])
def test_what_has_no_shape_is_never_shown(text: str) -> None:
    asked_for = f"xn--{text.encode('punycode').decode()}.com"
    found = analysis.homoglyphs(asked(asked_for))
    assert found[["shown", "verdict"]].values.tolist() == [[asked_for, "undecodable"]]


def test_an_unseen_joiner_hides_no_likeness() -> None:
    label = "\u0430pp\u200cle".encode("punycode").decode()
    found = analysis.homoglyphs(asked(f"xn--{label}.com"))
    assert found[["like", "verdict"]].values.tolist() == [["apple.com", "homoglyph"]]
