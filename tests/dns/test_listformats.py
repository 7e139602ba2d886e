"""List texts as rules: formats sniffed, every line accounted for, RPZ triggers and actions as tables."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsnb.dns import listformats
from dnsnb.dns.listcontent import sniff
from dnsnb.dns.listformats import each_name, find_line, read_list
from dnsnb.dns.names import BELOW, BOTH, EXACT, name_tail
from dnsnb.dns.policy import Policy
from dnsnb.dns.rules import ALLOW, BLOCK
from dnsnb.errors import SettingError

HOSTS = b"""\
# Title: made up for this test
127.0.0.1 localhost
127.0.0.1 localhost.localdomain
255.255.255.255 broadcasthost
::1 ip6-localhost
0.0.0.0 0.0.0.0
0.0.0.0 ads.example.com
0.0.0.0\ttracker.example.net # a note
127.0.0.1  two.example.org three.example.org
:: six.example.org
0.0.0.0 UPPER.example.COM.
0.0.0.0 bad_name.example
0.0.0.0 -x-.example
192.168.1.4 nas.example
0.0.0.0 not/a.name
nonsense here
"""

DOMAINS = b"""\
ads.example.com
; a comment
tracker.example.net   # a note
B\xc3\xbccher.example
dot.example.
.leading.example
*.wild.example
192.0.2.1
two words
label-far-too-long-label-far-too-long-label-far-too-long-label-far-too-long.example
a..b
"""

RPZ = b"""\
$TTL 300
@ IN SOA localhost. root.localhost. (
  2024 ; serial
  3600 600 86400 300 )
  IN NS localhost.
nx.example CNAME .
*.nx.example 60 IN CNAME .
nodata.example CNAME *.
pass.nx.example CNAME rpz-passthru.
drop.example CNAME rpz-drop.
tcp.example CNAME rpz-tcp-only.
data.example A 192.0.2.9
data.example AAAA 2001:db8::9
txt.example TXT "one; two"
walled.example CNAME garden.example.net.
24.0.2.0.192.rpz-ip CNAME .
128.1.zz.db8.2001.rpz-ip CNAME .
32.66.0.0.10.rpz-client-ip CNAME rpz-drop.
ns.example.rpz-nsdname CNAME .
32.1.2.0.192.rpz-nsip CNAME .
wild.example CNAME *.garden.example.net.
broken CNAME
"""


def wire(name: str) -> bytes:
    return name_tail(name) + b"\0"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (HOSTS, "hosts"),
        (DOMAINS, "domains"),
        (RPZ, "rpz"),
        (b"*.a.example\n*.b.example\n", "wildcards"),
        (b"! Title: x\n||a.example^\nb.example\n", "adblock"),
        (b"[Adblock Plus]\n@@||a.example^$important\n", "adblock"),
        (b"||one.example^\n" + b"plain.example\n" * 5, "adblock"),
        (b"a.example\nb.example\n", "domains"),
        (b"^ads[0-9]+\\.\n(^|\\.)track(er)?\\.\n", "regex"),
        (b"/^ads[0-9]+\\./\n/banner/\n", "regex"),
        (b"\r\n# only comments\r\n", "domains"),
        (b"", "domains"),
        (b"$ORIGIN rpz.example.\n@ SOA a b 1 2 3 4 5\n", "rpz"),
    ],
)
def test_the_format_is_sniffed(text: bytes, known: str) -> None:
    assert sniff(text) == known
    assert read_list(text).report.format == known


def names(text: bytes, **how: str) -> dict[tuple[int, int], set[str]]:
    from dnsnb.dns.wire import name_to_text

    found = read_list(text, **how).names  # type: ignore[arg-type]
    return {key: {name_to_text(tail) for tail in tails} for key, tails in found.items() if tails}


def test_a_hosts_list_is_names_and_nothing_else() -> None:
    assert names(HOSTS) == {
        (BLOCK, EXACT): {
            "ads.example.com", "tracker.example.net", "two.example.org", "three.example.org", "six.example.org",
            "upper.example.com", "bad_name.example", "-x-.example",
        }
    }  # fmt: skip
    report = read_list(HOSTS).report
    assert (report.lines, report.kept, report.comments) == (16, 8, 6)
    assert [(line, why) for line, _, why in report.examples] == [
        (14, "a hosts line with an address of its own is local data, not a block rule"),
        (15, "a slash can't stand in a name; letters, digits, '-', '_' and dots can"),
        (16, "more than one word, and no address at the start"),
    ]


def test_a_list_of_names_covers_what_is_below_them() -> None:
    assert names(DOMAINS) == {
        (BLOCK, BOTH): {
            "ads.example.com", "tracker.example.net", "xn--bcher-kva.example", "dot.example", "leading.example",
        },
        (BLOCK, BELOW): {"wild.example"},
    }  # fmt: skip
    content = read_list(DOMAINS)
    assert [network for network, _ in content.networks] == ["192.0.2.1/32"]
    assert [line for line, _, _ in content.report.examples] == [9, 10, 11]
    assert content.report.skipped.total() == 3


@pytest.mark.parametrize(("scope", "covered"), [("exact", EXACT), ("subdomains", BOTH)])
def test_a_scope_can_be_forced(scope: str, covered: int) -> None:
    assert names(b"*.a.example\nb.example\n", scope=scope) == {(BLOCK, covered): {"a.example", "b.example"}}


def test_an_allow_list_allows() -> None:
    assert set(read_list(b"||a.example^\n@@||b.example^\n", kind="allow").names) == {(ALLOW, BOTH)}


@pytest.mark.parametrize("large", [False, True])
def test_small_and_large_lists_keep_the_same(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    monkeypatch.setattr(listformats, "SMALL", 10 if large else 10_000)
    monkeypatch.setattr(listformats, "CHUNK", 700)
    lines = [f"0.0.0.0 n{n}.example.com" for n in range(500)] + ["0.0.0.0 n7.example.com", "# x", "oops here", ""]
    random.Random(4).shuffle(lines)
    text = "\r\n".join(lines).encode()
    policy = Policy()
    content = policy.load("l", text)
    assert bool(content.hashes) is large
    assert (content.report.kept, content.report.duplicates, content.report.skipped.total()) == (500, 1, 1)
    assert content.report.examples[0][0] == lines.index("oops here") + 1
    assert policy.decide("10.0.0.1", wire("n499.example.com"), 1)[:3] == ("block", "l", "n499.example.com")
    assert policy.decide("10.0.0.1", wire("n500.example.com"), 1).action == "none"
    assert sorted(tail for tail, _ in each_name(content)) == sorted(name_tail(f"n{n}.example.com") for n in range(500))
    assert find_line(content, "n33.example.com") == lines.index("0.0.0.0 n33.example.com") + 1
    assert find_line(content, "n3.example") is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("||a.example^$third-party", "for browsers"),
        ("||a.example^$script,domain=b.example", "for browsers"),
        ("a.example##.banner", "for browsers"),
        ("a.example#@#.banner", "for browsers"),
        ("||a.example/banner^", "path"),
        ("||a.example^$nonsense", "not known"),
        ("||a.example^$dnstype=WHAT", "no DNS type"),
        ("||a.example^$denyallow=", "names parted"),
        ("||a.example^$dnsrewrite=NOERROR;A;nonsense", "not the data"),
        ("||a.example^$dnsrewrite", "exceptions"),
        ("||a.example^$client=", "wants a value"),
        ("||^", "every name"),
        ("*", "every name"),
        ("||a^b.example^", "can't stand"),
        ("/(?=look)ahead/", "look-around"),
        (r"/(a)\1/", "look-around"),
        ("/((((((((((x{100}){100}){100}){100}){100}){100}){100}){100}){100}){100})/", "repetition|repeat|large"),
        ("/" + "a" * 2000 + "/", "longer than"),
        ("/[/", r"missing \]|bracket"),
        ("x" * 5000, "longer than"),
    ],
)
def test_a_wrong_line_is_counted_with_the_reason(line: str, why: str) -> None:
    report = read_list(f"! list\n||good.example^\n{line}\n".encode(), format="adblock").report
    assert (report.kept, report.skipped.total()) == (1, 1)
    number, text, reason = report.examples[0]
    assert number == 3
    assert line.startswith(text)
    pytest.importorskip("re2")
    import re

    assert re.search(why, reason), reason


def test_without_re2_expressions_are_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "re2", None)
    report = read_list(b"/^ads/\n||a.example^\n", format="adblock").report
    assert report.kept == 1
    assert "pip install" in report.examples[0][2]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)+b", "(.*a){20}", "^(a?){60}a{60}$", "(x+x+)+y"])
def test_no_expression_takes_for_ever(pattern: str) -> None:
    import time

    policy = Policy()
    policy.load("l", f"/{pattern}/", format="adblock")
    labels = "\x3f" + "a" * 63
    worst = (labels * 3 + "\x3d" + "a" * 60 + "b" + "\0").encode()
    began = time.process_time()
    for n in range(20):
        policy.rules_for("10.0.0.1").matches(worst[:-2] + bytes([97 + n]) + b"\0", 1)
    assert (time.process_time() - began) / 20 < 0.05


@pytest.mark.parametrize(
    ("line", "asked", "action", "kind"),
    [
        ("^ads[0-9]\\.", ("ads1.example", 1), "block", None),
        ("^ads[0-9]\\.;querytype=AAAA", ("ads1.example", 1), "none", None),
        ("^ads[0-9]\\.;querytype=AAAA", ("ads1.example", 28), "block", None),
        ("^ads[0-9]\\.;querytype=!AAAA", ("ads1.example", 28), "none", None),
        ("\\.example$;invert", ("a.test", 1), "block", None),
        ("\\.example$;invert", ("a.example", 1), "none", None),
        ("^ads;reply=NXDOMAIN", ("ads.example", 1), "block", "nxdomain"),
        ("^ads;reply=192.0.2.3", ("ads.example", 1), "block", "records"),
    ],
)
def test_the_options_of_expressions(line: str, asked: tuple[str, int], action: str, kind: str | None) -> None:
    policy = Policy()
    assert policy.load("l", line, format="regex").report.kept == 1
    found = policy.decide("10.0.0.1", wire(asked[0]), asked[1])
    assert (found.action, found.reply and found.reply.kind) == (action, kind)


RPZ_TABLE = [
    ("nx.example", "block", "nxdomain"),
    ("a.nx.example", "block", "nxdomain"),
    ("pass.nx.example", "allow", None),
    ("nodata.example", "block", "nodata"),
    ("a.nodata.example", "none", None),
    ("drop.example", "block", "drop"),
    ("tcp.example", "block", "truncate"),
    ("data.example", "block", "records"),
    ("txt.example", "block", "records"),
    ("walled.example", "block", "records"),
    ("wild.example", "none", None),
    ("other.example", "none", None),
]


@pytest.mark.parametrize(("name", "action", "kind"), RPZ_TABLE)
def test_rpz_names_and_actions(name: str, action: str, kind: str | None) -> None:
    policy = Policy()
    policy.load("rpz", RPZ)
    found = policy.decide("10.0.0.1", wire(name), 1)
    assert (found.action, found.reply and found.reply.kind) == (action, kind)


def test_rpz_addresses_clients_and_what_is_refused() -> None:
    policy = Policy()
    report = policy.load("rpz", RPZ).report
    assert sorted(report.skipped) == [
        "a wildcard target (CNAME *.name) is not given here",
        "not a record",
        "the trigger rpz-nsdname needs the delegation, which a forwarder doesn't see",
        "the trigger rpz-nsip needs the delegation, which a forwarder doesn't see",
    ]
    data = policy.decide("10.0.0.1", wire("data.example"), 1)
    assert data.reply is not None
    assert [record[0] for record in data.reply.records] == [1, 28]
    judge = policy.decide_answer
    assert judge("10.0.0.1", wire("x.example"), 1, [bytes([192, 0, 2, 200])]).list == "rpz"
    assert judge("10.0.0.1", wire("x.example"), 1, [bytes([192, 0, 3, 1])]).action == "none"
    assert judge("10.0.0.1", wire("pass.nx.example"), 1, [bytes([192, 0, 2, 200])]).action == "none"
    six = bytes.fromhex("20010db8000000000000000000000001")
    assert judge("10.0.0.1", wire("x.example"), 28, [six]).action == "block"
    assert policy.decide("10.0.0.66", wire("anything.example"), 1)[:2] == ("block", "rpz")
    assert policy.decide("10.0.0.67", wire("anything.example"), 1).action == "none"


def test_addresses_in_lists_block_answers_the_narrowest_first() -> None:
    policy = Policy()
    policy.load("l", "||192.0.2.0/24^\n@@||192.0.2.8^\n198.51.100.1\n", format="adblock")
    judge = policy.decide_answer
    assert judge("10.0.0.1", wire("x.example"), 1, [bytes([192, 0, 2, 9])])[:2] == ("block", "l")
    assert judge("10.0.0.1", wire("x.example"), 1, [bytes([192, 0, 2, 8])]).action == "allow"
    assert judge("10.0.0.1", wire("x.example"), 1, [bytes([198, 51, 100, 1])]).action == "block"


def test_texts_in_other_encodings_are_read() -> None:
    for text in (b"\xef\xbb\xbfads.example\n", "ads.example\n".encode("utf-16"), b"ads.example\r\n"):
        assert names(text) == {(BLOCK, BOTH): {"ads.example"}}


@pytest.mark.parametrize("how", [{"format": "xml"}, {"scope": "some"}, {"kind": "grey"}])
def test_wrong_choices_are_named(how: dict[str, str]) -> None:
    with pytest.raises(SettingError) as caught:
        read_list(b"", **how)  # type: ignore[arg-type]
    assert caught.value.setting == next(iter(how))


def test_parentheses_of_a_policy_zone() -> None:
    text = """$ORIGIN rpz.example.
@ SOA ns.x. h.x. (1 2
 3 4 5) ; serial and so on
a.example TXT "smile ( :" ; a quoted one opens nothing
b.example CNAME (
   . )
c.example CNAME .
d.example CNAME . (
e.example CNAME .
"""
    content = read_list(text.encode(), format="rpz")
    assert (content.count, content.report.lines, content.report.comments) == (3, 9, 6)
    assert [example["line"] for example in content.report.as_dict()["examples"]] == [8]
    opened = read_list(b"x.example CNAME (\n" + b"a.example CNAME .\n" * 1000 + b"y.example CNAME .\n", format="rpz")
    assert opened.report.skipped.total() == 1  # and what stands far below is read again
    assert {tail for tail, _ in each_name(opened)} >= {name_tail("y.example")}


def test_a_line_full_of_commas_costs_no_more_than_its_length() -> None:
    began = time.thread_time()
    for end in ("", "'", '"'):
        read_list(b"||a.example^$" + b"a," * 2000 + end.encode(), format="adblock")
    assert time.thread_time() - began < 0.1  # it was 0.2 s each


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(listformats.FORMATS))
def test_any_text_at_all_is_read(text: bytes, known: str) -> None:
    content = read_list(text, format=known)
    report = content.report
    assert report.kept == content.count
    assert report.skipped.total() <= max(1, text.count(b"\n") + 1) or known == "rpz"
    policy = Policy()
    staged = policy.stage("blacklist", content)
    policy.install(staged, staged.build())
    policy.decide("10.0.0.1", b"\3www\7example\0", 1)
    assert b"\n".join(content.text_lines()).rstrip(b"\n") == b"\n".join(text.split(b"\n")).rstrip(b"\n") or text[
        :2
    ] in (
        b"\xef\xbb",
        b"\xff\xfe",
        b"\xfe\xff",
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="ab.*|^@$/-,=~:; \\important\u00fc", max_size=30), max_size=6))
def test_any_rule_at_all_is_kept_or_counted(lines: list[str]) -> None:
    text = "\n".join(lines)
    policy = Policy()
    content = policy.load("l", text, format="adblock")
    for name in ("a.b", "ab", "xn--tda.a"):
        policy.decide("10.0.0.1", wire(name), 1)
        policy.rules_for("10.0.0.1").matches(wire(name), 28)
    assert content.report.kept == content.count
