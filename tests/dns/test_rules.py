"""Verdicts: label boundaries, scopes, precedence as a table, and a naive matcher that must agree on everything."""

from __future__ import annotations

import dataclasses
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsnb.dns import listformats
from dnsnb.dns.names import BELOW, BOTH, EXACT, name_tail
from dnsnb.dns.nametable import Layer, NameTable, hash_tails
from dnsnb.dns.policy import Policy
from dnsnb.dns.rules import Rules
from dnsnb.dns.special import Patterns, Special
from dnsnb.dns.wire import name_to_text

A, AAAA, TXT = 1, 28, 16


def wire(name: str) -> bytes:
    return name_tail(name).lower() + b"\0"


def verdict(policy: Policy, name: str, qtype: int = A, client: str = "10.0.0.1") -> tuple[str, str | None, str | None]:
    return policy.decide(client, wire(name), qtype)[:3]


@pytest.mark.parametrize(
    ("rule", "name", "blocked"),
    [
        ("example.com", "example.com", True),
        ("example.com", "sub.example.com", True),
        ("example.com", "a.b.sub.example.com", True),
        ("example.com", "notexample.com", False),
        ("example.com", "example.com.evil.net", False),
        ("example.com", "com", False),
        ("EXAMPLE.com.", "example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "sub.example.com", True),
        ("com", "anything.com", True),
        ("bücher.example", "xn--bcher-kva.example", True),
        (r"a\.b.example", r"a\.b.example", True),
        (r"a\.b.example", "a.b.example", False),
        ("b.example", r"a\.b.example", False),
    ],
)
def test_a_rule_covers_names_by_label(rule: str, name: str, blocked: bool) -> None:
    policy = Policy()
    policy.edit("blacklist", add=[rule])
    assert (policy.decide("10.0.0.1", wire(name), A).action == "block") is blocked


def test_a_verdict_names_list_and_rule() -> None:
    policy = Policy()
    policy.edit("blacklist", add=["*.Example.COM"])
    assert verdict(policy, "www.example.com") == ("block", "blacklist", "*.example.com")
    assert verdict(policy, "example.com") == ("none", None, None)


# The precedence of the module's docstring, row by row: (block lines, allow lines, allow_only, name, action, rule).
PRECEDENCE = [
    ("||x.test^", "", False, "x.test", "block", "x.test"),
    ("||x.test^", "x.test", False, "x.test", "allow", "x.test"),
    ("||x.test^", "good.x.test", False, "good.x.test", "allow", "good.x.test"),
    ("||x.test^", "good.x.test", False, "bad.x.test", "block", "x.test"),
    ("||good.x.test^", "x.test", False, "good.x.test", "allow", "x.test"),
    ("||x.test^$important", "x.test", False, "x.test", "block", "x.test$important"),
    ("||x.test^$important", "||x.test^$important", False, "x.test", "allow", "x.test$important"),
    ("||x.test^\n@@||x.test^", "", False, "x.test", "allow", "x.test"),
    ("||x.test^\n@@||x.test^$dnstype=A", "", False, "x.test", "allow", "@@||x.test^$dnstype=A"),
    ("|x.test^", "/^x\\.test$/", False, "x.test", "allow", "/^x\\.test$/"),
    ("/^x[.]test$/", "", False, "x.test", "block", "/^x[.]test$/"),
    ("/^x[.]test$/\n||x.test^", "", False, "x.test", "block", "x.test"),
    ("", "", True, "x.test", "block", None),
    ("", "x.test", True, "a.x.test", "allow", "x.test"),
    ("||x.test^", "x.test", True, "x.test", "allow", "x.test"),
    ("||x.test^$badfilter\n||x.test^", "", False, "x.test", "none", None),
    ("||x.test^$badfilter\n||x.test^$important", "", False, "x.test", "block", "x.test$important"),
    ("||x.test^$important,badfilter\n||x.test^$important", "", False, "x.test", "none", None),
    ("@@||x.test^$badfilter\n||x.test^\n@@||x.test^", "", False, "x.test", "block", "x.test"),
]


@pytest.mark.parametrize(("block", "allow", "only", "name", "action", "rule"), PRECEDENCE)
def test_precedence(block: str, allow: str, only: bool, name: str, action: str, rule: str | None) -> None:
    policy = Policy(allow_only=only)
    policy.load("blocks", block, format="adblock")
    policy.load("allows", allow, kind="allow", format="adblock")
    found = policy.decide("10.0.0.1", wire(name), A)
    assert (found.action, found.rule) == (action, rule)
    if action == "block" and rule is None:
        assert found.list == "allow_only"


@pytest.mark.parametrize(
    ("line", "asked", "action"),
    [
        ("||t.test^$dnstype=AAAA", ("t.test", AAAA, "10.0.0.1"), "block"),
        ("||t.test^$dnstype=AAAA", ("t.test", A, "10.0.0.1"), "none"),
        ("||t.test^$dnstype=~AAAA|~TXT", ("t.test", A, "10.0.0.1"), "block"),
        ("||t.test^$dnstype=~AAAA|~TXT", ("t.test", TXT, "10.0.0.1"), "none"),
        ("||t.test^$dnstype=TYPE65280", ("t.test", 65280, "10.0.0.1"), "block"),
        ("||t.test^$client=10.0.0.1", ("t.test", A, "10.0.0.1"), "block"),
        ("||t.test^$client=10.0.0.1", ("t.test", A, "10.0.0.2"), "none"),
        ("||t.test^$client=10.0.0.0/24|192.0.2.1", ("t.test", A, "10.0.0.77"), "block"),
        ("||t.test^$client=~10.0.0.0/24", ("t.test", A, "10.0.0.77"), "none"),
        ("||t.test^$client=~10.0.0.0/24", ("t.test", A, "10.1.0.77"), "block"),
        ("||test^$denyallow=good.test|fine.test", ("bad.test", A, "10.0.0.1"), "block"),
        ("||test^$denyallow=good.test|fine.test", ("a.good.test", A, "10.0.0.1"), "none"),
        ("||test^$denyallow=good.test|fine.test", ("notgood.test", A, "10.0.0.1"), "block"),
        ("*$denyallow=test", ("a.test", A, "10.0.0.1"), "none"),
        ("*$denyallow=test", ("a.example", A, "10.0.0.1"), "block"),
        ("||ads*.t.test^", ("ads42.t.test", A, "10.0.0.1"), "block"),
        ("||ads*.t.test^", ("x.ads42.t.test", A, "10.0.0.1"), "block"),
        ("||ads*.t.test^", ("bads42.t.test", A, "10.0.0.1"), "none"),
        ("||ads*.t.test^", ("ads42.t.test.evil.example", A, "10.0.0.1"), "none"),
        ("-banner-", ("x-banner-y.test", A, "10.0.0.1"), "block"),
        ("|t.test^", ("t.test", A, "10.0.0.1"), "block"),
        ("|t.test^", ("a.t.test", A, "10.0.0.1"), "none"),
        ("||*.t.test^", ("t.test", A, "10.0.0.1"), "none"),
        ("||*.t.test^", ("a.t.test", A, "10.0.0.1"), "block"),
        ("://t.test^", ("t.test", A, "10.0.0.1"), "block"),
        ("/^ad[0-9]+\\./$dnstype=A", ("ad1.test", A, "10.0.0.1"), "block"),
        ("/^ad[0-9]+\\./$dnstype=A", ("ad1.test", AAAA, "10.0.0.1"), "none"),
        ("/AD[0-9]/", ("ad1.test", A, "10.0.0.1"), "block"),
        ("||t.test^$ctag=kids", ("t.test", A, "10.0.0.9"), "none"),
    ],
)
def test_adblock_modifiers(line: str, asked: tuple[str, int, str], action: str) -> None:
    policy = Policy()
    report = policy.load("list", line + "\n||unrelated.example^", format="adblock").report
    assert (report.kept, dict(report.skipped)) == (2, {})
    name, qtype, client = asked
    assert policy.decide(client, wire(name), qtype).action == action


@pytest.mark.parametrize(
    ("value", "kind", "records"),
    [
        ("NXDOMAIN", "nxdomain", ()),
        ("REFUSED;;", "refused", ()),
        ("NOERROR;;", "nodata", ()),
        ("192.0.2.7", "records", ((1, None, bytes([192, 0, 2, 7])),)),
        ("NOERROR;A;192.0.2.7", "records", ((1, None, bytes([192, 0, 2, 7])),)),
        ("other.example", "records", ((5, None, b"\5other\7example\0"),)),
        ("NOERROR;TXT;hello", "records", ((16, None, b"\5hello"),)),
        ("NOERROR;MX;10 mail.example", "records", ((15, None, b"\0\n\4mail\7example\0"),)),
    ],
)
def test_dnsrewrite_carries_its_answer(value: str, kind: str, records: tuple[object, ...]) -> None:
    policy = Policy()
    policy.load("list", f"||r.test^$dnsrewrite={value}", format="adblock")
    found = policy.decide("10.0.0.1", wire("r.test"), A)
    assert found.action == "block"
    assert found.reply is not None
    assert tuple(found.reply) == (kind, records)
    policy.load("excuse", "@@||r.test^$dnsrewrite", format="adblock")
    assert policy.decide("10.0.0.1", wire("r.test"), A).action == "none"


def test_every_rule_that_matches_is_told_the_deciding_one_first() -> None:
    policy = Policy()
    policy.load("one", "||x.test^\n||ads.x.test^")
    policy.load("two", "0.0.0.0 ads.x.test\n/^ads/", format="hosts")
    policy.edit("whitelist", add=["x.test"])
    found = policy.rules_for("10.0.0.1").matches(wire("ads.x.test"), A)
    assert [(m.action, m.list, m.rule) for m in found] == [
        ("allow", "whitelist", "x.test"),
        ("block", "one", "ads.x.test"),
        ("block", "two", "ads.x.test"),
        ("block", "one", "x.test"),
        ("block", "two", "/^ads/"),
    ]


def test_a_cname_chain_is_judged_by_its_members() -> None:
    policy = Policy()
    policy.edit("blacklist", add=["tracker.test"])
    rules = policy.rules_for("10.0.0.1")
    chain = [wire("shop.example"), wire("cdn.example"), wire("x.tracker.test")]
    found = rules.decide_chain(chain, A)
    assert found[:3] == ("block", "blacklist", "tracker.test (CNAME x.tracker.test)")
    policy.edit("whitelist", add=["shop.example"])
    assert policy.rules_for("10.0.0.1").decide_chain(chain, A).action == "allow"
    only = Policy(allow_only=True)
    only.edit("whitelist", add=["shop.example"])
    assert only.rules_for("10.0.0.1").decide_chain(chain, A).action == "allow"


# --- the naive matcher ---

LABELS = st.sampled_from(["a", "b", "ads", "x-1", "com", "test"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
SCOPES = st.sampled_from([EXACT, BELOW, BOTH])


def naive(rules: list[tuple[str, str, int, bool]], name: str, enabled: set[str]) -> str:
    """Decide by going through every rule: (list, name, scope, important), lists 'a…' allow, others block."""
    best = (-1, "none")
    for held, rule, scope, important in rules:
        same, below = name == rule, name.endswith("." + rule)
        if held in enabled and ((same and scope & EXACT) or (below and scope & BELOW)):
            action = "allow" if held.startswith("a") else "block"
            best = max(best, (important * 2 + (action == "allow"), action))
    return best[1]


@settings(max_examples=150, deadline=None)
@given(
    rules=st.lists(st.tuples(st.sampled_from(["a1", "b1", "b2"]), NAMES, SCOPES, st.booleans()), max_size=25),
    names=st.lists(NAMES, min_size=1, max_size=20),
    off=st.sets(st.sampled_from(["a1", "b1", "b2"])),
    large=st.booleans(),
)
def test_the_fast_matcher_agrees_with_a_naive_one(
    rules: list[tuple[str, str, int, bool]], names: list[str], off: set[str], large: bool
) -> None:
    pattern = {EXACT: "|{}^", BELOW: "||*.{}^", BOTH: "||{}^"}
    policy = Policy()
    small = listformats.SMALL
    try:
        listformats.SMALL = 0 if large else small  # every list as a table of hashes, or none
        for held in ("a1", "b1", "b2"):
            lines = [pattern[s].format(n) + ("$important" if i else "") for h, n, s, i in rules if h == held]
            kept = policy.load(
                held, "\n".join(lines), "allow" if held == "a1" else "block", format="adblock"
            ).report.kept
            assert kept == len(set(lines))
    finally:
        listformats.SMALL = small
    for held in off:
        policy.configure(held, enabled=False)
    for name in names:
        expected = naive(rules, name, {"a1", "b1", "b2"} - off)
        assert policy.decide("10.0.0.1", wire(name), A).action == expected
        found = policy.rules_for("10.0.0.1").matches(wire(name), A)
        assert (found[0].action if found else "none") == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sets(NAMES, max_size=8), SCOPES), max_size=5))
def test_a_table_holds_just_what_its_layers_hold(layers: list[tuple[set[str], int]]) -> None:
    table = NameTable(
        [
            Layer(hash_tails([name_tail(n) for n in names], len(names)), 1 << number, scope)
            for number, (names, scope) in enumerate(layers)
        ]
    )
    everything = {n for names, _ in layers for n in names} | {"never.listed"}
    for name in everything:
        itself = sum(1 << k for k, (names, scope) in enumerate(layers) if name in names and scope & EXACT)
        below = sum(1 << k for k, (names, scope) in enumerate(layers) if name in names and scope & BELOW)
        assert table.masks(name_tail(name)) == (itself, below)


@given(st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=4))
def test_any_wire_name_has_a_text_that_means_it(labels: list[bytes]) -> None:
    tail = b"".join(bytes((len(label),)) + label.lower() for label in labels)
    text = name_to_text(tail)
    assert text.isascii()
    assert text.isprintable()
    try:
        again = name_tail(text)
    except ValueError:
        return  # too long, an address, or a character that has to be typed as an escape
    assert again == tail


def test_rules_without_lists_decide_nothing() -> None:
    assert Rules().decide(b"\3www\7example\0", A).action == "none"
    assert Rules().decide(b"\0", A).action == "none"
    assert Rules(allow_only=True).decide(b"\0", A).list == "allow_only"


def test_special_rules_are_told_apart_by_value() -> None:
    policy = Policy()
    content = policy.load("l", "||x.test^$dnstype=A", format="adblock")
    assert dataclasses.replace(content.specials[0]) == content.specials[0]


def test_a_name_is_laid_beside_few_of_many_globs() -> None:
    rules = [(0, Special(f"r{n}", 0, glob=f"||ads{n}.*.tracker{n}.example^")) for n in range(5000)]
    patterns = Patterns([*rules, (1, Special("short", 0, glob="||a*b^")), (1, Special("any", 0, glob="*x77.*"))])
    began = time.thread_time()
    for n in range(50):
        assert patterns.matching(name_tail(f"www.ads{n}.eu.tracker{n}.example") + b"\0") == [rules[n]]
    assert time.thread_time() - began < 0.2  # laid beside each it was 0.4 s
    found = patterns.matching(name_tail("ads7.a.x77.tracker7.example") + b"\0")
    assert [rule.text for _, rule in found] == ["r7", "any"]
    assert [rule.text for _, rule in patterns.matching(name_tail("x.ab") + b"\0")] == ["short"]
