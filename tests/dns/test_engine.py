"""What the engine decides, without a socket: order of decisions, caching, coalescing, failover, the log."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import dnslib
import pytest
from dnslib import QTYPE, RCODE, RR
from engine_room import (
    Room,
    ScriptedUpstream,
    add_soa,
    addresses,
    ede,
    failing,
    nxdomain,
    question,
    reply_to,
    texts,
)  # fmt: skip

from dnsnb.dns import wire
from dnsnb.dns.blocking import BlockAnswer
from dnsnb.dns.engine import Engine
from dnsnb.dns.explain import explain, parse_question
from dnsnb.dns.forwarding import Forwarder, Pending
from dnsnb.dns.local import Record
from dnsnb.dns.options import EngineOptions
from dnsnb.dns.policy import Policy
from dnsnb.dns.upstream import Target
from dnsnb.dns.wire import text_to_name
from dnsnb.errors import SettingError


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def fast(request: pytest.FixtureRequest) -> bool:
    """Everything holds with the answers by exact bytes, and without."""
    return bool(request.param)


def test_a_miss_is_forwarded_and_a_hit_is_not(fast: bool) -> None:
    room = Room(addresses("192.0.2.1", ttl=60), fast_paths=fast)
    for _ in range(3):
        reply = room.ask("www.example.org")
        assert texts(reply) == ["192.0.2.1"]
        assert (reply.header.qr, reply.header.ra, reply.header.rd, reply.header.aa) == (1, 1, 1, 0)
    assert room.asked == 1
    assert [row["status"] for row in room.rows()] == ["forwarded", "cached", "cached"]


def test_the_askers_id_case_and_rd_come_back(fast: bool) -> None:
    room = Room(fast_paths=fast)
    for ident, name in ((0, "WWW.Example.ORG"), (65535, "www.example.org"), (7, "wWw.eXample.oRg")):
        replies = room.send(question(name, ident=ident))
        assert replies[0][:2] == ident.to_bytes(2)
        assert dnslib.DNSRecord.parse(replies[0]).q.qname.label == tuple(x.encode() for x in name.split("."))
    assert room.asked == 1


def test_ttls_count_down_and_end(fast: bool) -> None:
    room = Room(addresses("192.0.2.1", ttl=10), fast_paths=fast, prefetch=False)
    assert room.ask("a.example.org").rr[0].ttl == 10
    for passed in (1, 3, 5):
        room.clock.advance(1 if passed == 1 else 2)
        assert room.ask("a.example.org").rr[0].ttl == 10 - passed
    room.clock.advance(5.01)
    assert room.ask("a.example.org").rr[0].ttl == 10
    assert room.asked == 2


def test_a_change_of_policy_holds_for_what_is_cached(fast: bool) -> None:
    room = Room(addresses("192.0.2.1", ttl=600), fast_paths=fast)
    changes = {
        "once.test": lambda name: room.policy.edit("blacklist", add=[name]),
        "often.test": lambda name: room.policy.edit("blacklist", add=[name]),
        "nas.example": lambda name: room.policy.local.add([Record(name, "A", "192.0.2.7")]),
    }
    for name, change in changes.items():
        for _ in range({"once.test": 1}.get(name, 5)):
            assert texts(room.ask(name)) == ["192.0.2.1"]
        change(name)
        for _ in range(3):
            assert texts(room.ask(name)) == (["192.0.2.7"] if name == "nas.example" else ["0.0.0.0"])
    assert [texts(room.ask("once.test", client=client)) for client in ("127.0.0.1", "127.0.0.2")] == [["0.0.0.0"]] * 2


def test_thousands_of_spellings_of_a_name_cost_one_entry() -> None:
    room = Room(addresses("192.0.2.1", ttl=600))
    name = "thousandsofspellings.test"
    for number in range(200):
        spelled = "".join(c.upper() if number >> n & 1 else c for n, c in enumerate(name))
        replies = [room.send(question(spelled))[0] for _ in range(2)]
        assert replies[0] == replies[1]
        assert str(dnslib.DNSRecord.parse(replies[0]).q.qname) == spelled + "."
    entry = next(entry for _, entry in room.engine.cache.items())
    assert room.asked == 1
    assert len(entry.memos or ()) in (range(1, 17) if room.engine.options.fast_paths else range(1))
    assert {row["qname"] for row in room.rows()} == {name}


def test_ttl_zero_is_never_kept(fast: bool) -> None:
    room = Room(addresses("192.0.2.1", ttl=0), fast_paths=fast)
    room.ask("a.example.org")
    assert room.ask("a.example.org").rr[0].ttl == 0
    assert room.asked == 2


@pytest.mark.parametrize(("ttl", "kept"), [(0x80000001, 0), (2_147_483_647, 86_400), (604_801, 86_400), (5, 5)])
def test_ttls_beyond_reason(ttl: int, kept: int) -> None:
    room = Room(addresses("192.0.2.1", ttl=ttl))
    assert room.ask("a.example.org").rr[0].ttl == kept
    room.ask("a.example.org")
    assert room.asked == (1 if kept else 2)


def test_nxdomain_is_kept_by_its_soa(fast: bool) -> None:
    room = Room(nxdomain(30, 5), fast_paths=fast)
    for _ in range(2):
        reply = room.ask("nothing.example.org")
        assert reply.header.rcode == RCODE.NXDOMAIN
        assert reply.auth[0].ttl <= 5
    assert room.asked == 1
    room.clock.advance(5.1)
    room.ask("nothing.example.org")
    assert room.asked == 2


def test_nxdomain_covers_what_is_below_it() -> None:
    room = Room(nxdomain(30, 30))
    room.ask("nothing.example.org")
    assert room.ask("below.nothing.example.org").header.rcode == RCODE.NXDOMAIN
    assert room.asked == 1


def test_nxdomain_says_nothing_of_what_has_upstreams_of_its_own() -> None:
    room = Room(nxdomain(30, 30))
    inner = ScriptedUpstream("inner", addresses("192.0.2.7"))
    room.forwarder.routes = {text_to_name("home.lan"): [Target(inner)]}
    assert room.ask("lan").header.rcode == RCODE.NXDOMAIN
    assert room.ask("other.lan").header.rcode == RCODE.NXDOMAIN
    assert len(room.upstreams[0].asked) == 1
    for name in ("home.lan", "nas.home.lan"):
        assert texts(room.ask(name)) == ["192.0.2.7"], name
    assert explain(room.policy, parse_question("x.other.lan", "A"), engine=room.engine).decided == "cache"
    assert explain(room.policy, parse_question("x.home.lan", "A"), engine=room.engine).decided == ""


def test_who_can_read_no_question_at_all_is_not_waited_for() -> None:
    room = Room(lambda query: query.header.id.to_bytes(2) + b"\x80\x01" + bytes(8))
    assert room.send(question("a.test"))[0][3] & 15 == wire.SERVFAIL  # at once
    assert room.asked == 2  # with EDNS and without


def test_what_cant_be_read_reaches_nobody() -> None:
    def astray(query: Any) -> bytes:
        data = b"\0\1\xc0\xff"  # MX: its name leads forward
        return (
            bytes(reply_to(query).pack())[:6]
            + b"\0\1"
            + bytes(reply_to(query).pack())[8:]
            + (b"\xc0\x0c\0\x0f\0\1\0\0\0\x3c" + len(data).to_bytes(2) + data)
        )

    room = Room(astray)
    room.policy.local.replace([Record("alias.lan", "CNAME", "mail.test")])
    for name in ("mail.test", "alias.lan"):
        assert room.ask(name, "MX").header.rcode == RCODE.SERVFAIL, name


def test_no_data_is_kept_a_type_at_a_time() -> None:
    room = Room(addresses("2001:db8::1"))
    assert not room.ask("a.example.org", "A").rr
    assert not room.ask("a.example.org", "A").rr
    assert room.asked == 1
    assert texts(room.ask("a.example.org", "AAAA")) == ["2001:db8::1"]
    assert room.asked == 2


def test_do_and_cd_are_part_of_the_key() -> None:
    room = Room()
    room.ask("a.example.org")
    room.ask("a.example.org", do=True)
    room.ask("a.example.org", cd=True)
    assert room.asked == 3
    assert [dnslib.DNSRecord.parse(q).header.cd for q in room.upstreams[0].asked] == [0, 0, 1]


def test_equal_questions_in_flight_are_asked_once() -> None:
    room = Room()
    room.upstreams[0].hold = True
    replies = [
        room.send(question(n, ident=i)) for i, n in enumerate(("A.example.org", "a.EXAMPLE.org", "a.example.ORG"))
    ]
    assert replies == [[], [], []]
    room.upstreams[0].release()
    assert room.asked == 1
    for ident, got in enumerate(replies):
        assert got[0][:2] == ident.to_bytes(2)
    cases = {dnslib.DNSRecord.parse(got[0]).q.qname.label for got in replies}
    assert len(cases) == 3


def test_nothing_is_held_of_a_question_that_is_answered() -> None:
    room = Room()
    for number in range(50):
        room.ask(f"n{number}.example.org")
    assert room.clock.timers, "some would be looked at later, had they not been answered"
    assert not [held for held in gc.get_objects() if isinstance(held, Pending)]


@pytest.mark.parametrize("options", [{}, {"rate_limit": 1000, "rate_burst": 1000}, {"fast_paths": False}])
def test_a_batch_asks_for_what_memory_does_not_have(options: dict[str, Any]) -> None:
    room = Room(**options)
    room.upstreams[0].hold = True
    room.policy.edit("blacklist", add=["ads.test"])
    names = ("a.example.org", "ads.test", "b.example.org", "a.example.org")
    queries = [question(name, ident=number) for number, name in enumerate(names)]
    late: list[tuple[int, bytes]] = []

    def later(number: int) -> Callable[[bytes], None]:
        return lambda reply: late.append((number, reply))

    replies = room.engine.answer_many(queries, ["127.0.0.1"] * 4, later)
    assert [reply is not None and reply[:2] == bytes((0, number)) for number, reply in enumerate(replies)] == [
        False, True, False, False,
    ]  # fmt: skip
    assert [replies[number] for number in (0, 2, 3)] == [b"", b"", b""]
    assert room.asked == 2
    room.clock.advance(0.02)
    room.upstreams[0].release()
    assert sorted((number, reply[:2]) for number, reply in late) == [(n, bytes((0, n))) for n in (0, 2, 3)]
    waited = {(row["qname"], row["status"]): row["latency_ms"] for row in room.rows()}
    assert waited["a.example.org", "forwarded"] == pytest.approx(20)


def test_the_whole_order_of_decisions(fast: bool) -> None:
    room = Room(fast_paths=fast)
    room.policy.local.replace([Record("nas.blocked.test", "A", "192.0.2.77")])
    room.policy.edit("blacklist", add=["blocked.test"])
    room.policy.edit("whitelist", add=["good.blocked.test"])
    for _ in range(2):
        assert texts(room.ask("nas.blocked.test")) == ["192.0.2.77"]
        assert texts(room.ask("x.blocked.test")) == ["0.0.0.0"]
        assert texts(room.ask("good.blocked.test")) == ["192.0.2.1"]
    rows = room.rows()
    assert [r["status"] for r in rows] == ["local", "blocked", "forwarded", "local", "blocked", "cached"]
    assert {(r["list"], r["rule"]) for r in rows if r["status"] == "blocked"} == {("blacklist", "blocked.test")}


@pytest.mark.parametrize(
    ("mode", "qtype", "rcode", "data"),
    [
        ("null", "A", "NOERROR", ["0.0.0.0"]),
        ("null", "AAAA", "NOERROR", ["::"]),
        ("null", "HTTPS", "NOERROR", []),
        ("null", "MX", "NOERROR", []),
        ("null", "ANY", "NOERROR", []),
        ("nxdomain", "A", "NXDOMAIN", []),
        ("nodata", "A", "NOERROR", []),
        ("refused", "A", "REFUSED", []),
        ("address", "A", "NOERROR", ["192.0.2.9"]),
        ("address", "AAAA", "NOERROR", []),
    ],
)
def test_block_modes(mode: str, qtype: str, rcode: str, data: list[str]) -> None:
    block = BlockAnswer(mode, 42, ("192.0.2.9",) if mode == "address" else ())
    room = Room(block=block)
    room.policy.edit("blacklist", add=["blocked.test"])
    reply = room.ask("ads.blocked.test", qtype)
    assert RCODE[reply.header.rcode] == rcode
    assert texts(reply) == data
    assert ede(reply) == 15
    assert (reply.header.aa, reply.header.ra) == (0, 1)
    if data:
        assert reply.rr[0].ttl == 42
    elif rcode != "REFUSED":
        assert reply.auth[0].rtype == QTYPE.SOA
    assert not room.ask("ads.blocked.test", qtype, edns=False).ar
    assert room.asked == 0


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("EXAMPLE.com", "blocked"),
        ("sub.example.com", "blocked"),
        ("notexample.com", "forwarded"),
        ("example.com.evil.net", "forwarded"),
    ],
)
def test_rules_hold_at_label_boundaries(name: str, status: str) -> None:
    room = Room()
    room.policy.edit("blacklist", add=["example.com"])
    room.ask(name)
    assert room.rows()[0]["status"] == status


def test_a_dot_in_a_label_is_no_boundary() -> None:
    room = Room()
    room.policy.edit("blacklist", add=["blocked.test"])
    query = question("x.test")[:12] + b"\x0cwww\x2eblocked\x00"[:13] + b"\x04test\0\0\1\0\1"
    query = question("x.test", edns=False)[:12] + bytes([11]) + b"www.blocked" + b"\x04test\0\0\1\0\1"
    room.send(query)
    row = room.rows()[0]
    assert row["status"] == "forwarded"
    assert row["qname"] == r"www\.blocked.test"


def test_an_edit_holds_from_the_next_query_both_ways(fast: bool) -> None:
    room = Room(fast_paths=fast)
    for _ in range(2):
        assert texts(room.ask("a.example.org")) == ["192.0.2.1"]
    room.policy.edit("blacklist", add=["example.org"])
    assert texts(room.ask("a.example.org")) == ["0.0.0.0"]
    room.policy.edit("blacklist", remove=["example.org"])
    assert texts(room.ask("a.example.org")) == ["192.0.2.1"]
    assert room.asked == 1


def test_allow_only_resolves_nothing_else() -> None:
    room = Room()
    room.policy.allow_only = True
    room.policy.edit("whitelist", add=["good.test"])
    assert texts(room.ask("www.good.test")) == ["192.0.2.1"]
    assert texts(room.ask("www.other.test")) == ["0.0.0.0"]
    assert room.rows()[1]["list"] == "allow_only"


def chain(*names: str, qtype: int = QTYPE.A, ttls: tuple[int, ...] = ()) -> Any:
    """An upstream's function: a CNAME chain through these names to an address."""

    def answer(query: Any) -> bytes:
        reply = query.reply(ra=1, aa=0)
        owner = query.q.qname
        for n, name in enumerate(names):
            reply.add_answer(RR(owner, QTYPE.CNAME, ttl=ttls[n] if ttls else 300, rdata=dnslib.CNAME(name)))
            owner = dnslib.DNSLabel(name)
        if qtype == query.q.qtype:
            reply.add_answer(RR(owner, QTYPE.A, ttl=ttls[-1] if ttls else 300, rdata=dnslib.A("192.0.2.5")))
        else:
            add_soa(reply, 60, 60)
        return bytes(reply.pack())

    return answer


@pytest.mark.parametrize("hops", [1, 8])
@pytest.mark.parametrize("qtype", ["A", "AAAA"])
def test_a_tracker_behind_a_cname_is_blocked(hops: int, qtype: str) -> None:
    names = [f"hop{n}.test" for n in range(hops - 1)] + ["tracker.blocked.test"]
    room = Room(chain(*names))
    room.policy.edit("blacklist", add=["blocked.test"])
    for _ in range(2):
        reply = room.ask("ok.test", qtype)
        assert texts(reply) == (["0.0.0.0"] if qtype == "A" else ["::"])
    row = room.rows()[-1]
    assert row["status"] == "blocked"
    assert "tracker.blocked.test" in row["rule"]


def test_a_chain_ends_with_its_shortest_ttl() -> None:
    room = Room(chain("target.test", ttls=(300, 3)), prefetch=False)
    assert len(room.ask("alias.test").rr) == 2
    room.clock.advance(3.1)
    room.ask("alias.test")
    assert room.asked == 2


def test_records_beside_the_chain_never_become_answers() -> None:
    def answer(query: Any) -> bytes:
        reply = query.reply(ra=1, aa=0)
        reply.add_answer(RR("other.test", QTYPE.A, ttl=60, rdata=dnslib.A("203.0.113.66")))
        reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=60, rdata=dnslib.A("192.0.2.1")))
        reply.add_ar(RR("other.test", QTYPE.A, ttl=60, rdata=dnslib.A("203.0.113.67")))
        return bytes(reply.pack())

    room = Room(answer)
    reply = room.ask("a.test")
    assert texts(reply) == ["192.0.2.1"]
    assert all(rr.rtype == QTYPE.OPT for rr in reply.ar)
    room.ask("other.test")
    assert room.asked == 2


def test_wrong_answers_are_waited_out() -> None:
    room = Room()
    upstream = room.upstreams[0]
    upstream.hold = True
    replies = room.send(question("a.test"))
    query, done = upstream.held.pop()
    good = addresses("192.0.2.1")(dnslib.DNSRecord.parse(query))
    other = addresses("203.0.113.66")(dnslib.DNSRecord.parse(question("b.test")))
    not_a_response = good[:2] + bytes([good[2] & 0x7F]) + good[3:]
    for forged in (other, not_a_response, good[:20], b"", good[:12], good[:-3]):
        done(forged, "")
    assert replies == []
    done(good, "")
    assert texts(dnslib.DNSRecord.parse(replies[0])) == ["192.0.2.1"]
    assert room.forwarder.ignored == 6


def silence(query: Any) -> None:
    return None


def test_no_upstream_answers_is_servfail_in_time_and_never_silence() -> None:
    room = Room(silence)
    began = room.clock.now
    reply = room.ask("a.test")
    assert reply.header.rcode == RCODE.SERVFAIL
    assert ede(reply) == 22
    assert room.clock.now - began < 5
    assert room.asked <= 3
    assert room.rows()[0]["status"] == "failed"


def test_failures_are_remembered_for_a_moment() -> None:
    room = Room(failing("SERVFAIL"))
    assert room.ask("a.test").header.rcode == RCODE.SERVFAIL
    room.clock.advance(0.1)
    assert room.ask("a.test").header.rcode == RCODE.SERVFAIL
    assert room.asked == 1
    room.clock.advance(7)
    room.ask("a.test")
    assert room.asked == 2


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_a_failing_upstream_hands_over(rcode: str) -> None:
    room = Room(failing(rcode), addresses("192.0.2.2"))
    assert texts(room.ask("a.test")) == ["192.0.2.2"]
    assert room.rows()[0]["upstream"] == "up1"


def test_nxdomain_is_final() -> None:
    room = Room(nxdomain(60, 60), addresses("192.0.2.2"))
    assert room.ask("a.test").header.rcode == RCODE.NXDOMAIN
    assert not room.upstreams[1].asked


def test_a_dead_first_upstream_costs_once_until_it_is_back() -> None:
    room = Room(silence, addresses("192.0.2.2"))
    began = room.clock.now
    assert texts(room.ask("a.test")) == ["192.0.2.2"]
    assert room.clock.now - began < 1.5
    assert room.targets[0].state == "down"
    for n in range(5):
        began = room.clock.now
        room.ask(f"b{n}.test")
        assert room.clock.now == began
    room.upstreams[0].answer = addresses("192.0.2.1")
    room.clock.advance(31)
    room.ask("c.test")  # asked as a probe beside the one that answers
    assert room.targets[0].state == "up"
    assert texts(room.ask("d.test")) == ["192.0.2.1"]


def test_a_lost_packet_is_sent_again() -> None:
    losses = iter([True, False])
    room = Room(lambda q: None if next(losses) else addresses("192.0.2.1")(q))
    began = room.clock.now
    assert texts(room.ask("a.test")) == ["192.0.2.1"]
    assert room.clock.now - began < 2


def test_stale_when_the_upstream_dies_fresh_when_it_is_back() -> None:
    room = Room(addresses("192.0.2.1", ttl=2), prefetch=False)
    room.ask("a.test")
    room.clock.advance(2.5)
    room.upstreams[0].answer = silence
    began = room.clock.now
    reply = room.ask("a.test")
    assert texts(reply) == ["192.0.2.1"]
    assert (reply.rr[0].ttl, ede(reply)) == (30, 3)
    assert room.clock.now - began <= 1.85
    room.clock.advance(30)
    room.upstreams[0].answer = addresses("192.0.2.8", ttl=60)
    fresh = room.ask("a.test")
    assert texts(fresh) == ["192.0.2.8"]
    assert ede(fresh) is None
    assert "stale" in {r["status"] for r in room.rows()}


def test_a_rule_added_meanwhile_holds_for_stale_answers() -> None:
    room = Room(addresses("192.0.2.1", ttl=2), prefetch=False)
    room.ask("a.test")
    room.clock.advance(3)
    room.upstreams[0].answer = silence
    room.policy.edit("blacklist", add=["a.test"])
    assert texts(room.ask("a.test")) == ["0.0.0.0"]


def test_popular_names_are_refreshed_before_they_end(fast: bool) -> None:
    room = Room(addresses("192.0.2.1", ttl=100), fast_paths=fast)
    for _ in range(4):
        room.ask("a.test")
        room.clock.advance(1)
    room.clock.advance(88)
    assert room.ask("a.test").rr[0].ttl <= 8
    assert room.asked == 2
    assert room.ask("a.test").rr[0].ttl == 100
    room.ask("once.test")
    room.clock.advance(95)
    assert room.asked == 3


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_answers_are_cut_to_what_the_asker_takes(transport: str) -> None:
    room = Room(addresses(*(f"192.0.2.{n}" for n in range(1, 201))))
    reply = room.ask("big.test", transport=transport)
    assert (reply.header.tc, len(reply.rr)) == ((1, 0) if transport == "udp" else (0, 200))
    plain = room.send(question("big.test", edns=False), transport=transport)[0]
    assert len(plain) <= 512 or transport == "tcp"


def test_who_may_not_ask_is_refused(fast: bool) -> None:
    room = Room(fast_paths=fast)
    room.ask("a.test")
    reply = room.ask("a.test", client="203.0.113.9")
    assert reply.header.rcode == RCODE.REFUSED
    assert not reply.rr
    assert room.rows()[-1]["status"] == "refused"
    asked = question("a.test")
    newer = room.send(asked[:-5] + b"\1" + asked[-4:], client="203.0.113.9")[0]  # EDNS version 1
    assert newer[3] & 15 == wire.REFUSED
    assert newer[4:] == bytes(8)  # an OPT with upper bits of BADVERS would make it BADALG
    told = explain(room.policy, parse_question("a.test", "A"), "203.0.113.9", room.engine)
    assert told.steps[0].detail.startswith("REFUSED, for allow_clients")


def test_an_access_list_is_checked() -> None:
    with pytest.raises(SettingError, match=r"allow_clients\[1\].*10.0.0.0/99"):
        Room(access=("127.0.0.0/8", "10.0.0.0/99"))


def test_a_rate_limit_holds_one_client_alone() -> None:
    room = Room(rate_limit=10.0, rate_burst=5.0)
    replies = [room.ask("a.test", client="127.0.0.9") for _ in range(8)]
    assert [r.header.tc for r in replies] == [0] * 5 + [1] * 3
    assert room.ask("a.test", client="127.0.0.8").header.tc == 0
    room.clock.advance(1)
    assert room.ask("a.test", client="127.0.0.9").header.tc == 0
    assert [r["status"] for r in room.rows()].count("limited") == 3


def test_the_row_of_a_query() -> None:
    room = Room(addresses("192.0.2.1", ttl=60))
    room.ask("WWW.Example.org", do=True)
    row = room.rows()[0]
    assert row["time"] == room.clock.wall() // 1000
    expected = {
        "client": "127.0.0.1", "transport": "udp", "qname": "www.example.org", "qtype": "A", "qclass": "IN",
        "rcode": "NOERROR", "status": "forwarded", "list": None, "rule": None, "upstream": "up0",
        "answers": ["192.0.2.1"], "ttl": 60, "flags": "qr rd ra", "ede": None, "latency_ms": 0.0, "id": 1,
    }  # fmt: skip
    assert {k: row[k] for k in expected} == expected
    assert row["query_bytes"] == len(question("WWW.Example.org", do=True))
    assert row["response_bytes"] > row["query_bytes"]


def test_the_journal_is_bounded_and_counts() -> None:
    room = Room()
    room.engine.journal.limit = 3
    for _ in range(5):
        room.ask("a.test")
    batch = room.engine.drain()
    assert batch is not None
    assert (batch.count, batch.dropped, batch.columns["id"]) == (3, 2, [1, 2, 3])
    assert room.engine.drain() is None


def test_stopping_answers_everybody() -> None:
    room = Room()
    room.upstreams[0].hold = True
    replies = room.send(question("a.test"))
    room.forwarder.abandon("the server stops")
    assert dnslib.DNSRecord.parse(replies[0]).header.rcode == RCODE.SERVFAIL


def test_a_flood_of_names_ends_the_oldest_with_servfail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsnb.dns.forwarding.MAX_PENDING", 10)
    room = Room()
    room.upstreams[0].hold = True
    replies = [room.send(question(f"n{n}.test")) for n in range(12)]
    assert [len(r) for r in replies] == [1, 1] + [0] * 10
    room.upstreams[0].release()
    assert all(len(r) == 1 for r in replies)


def test_nobody_waits_again_for_what_was_just_in_vain() -> None:
    room = Room(addresses("192.0.2.1", ttl=2), prefetch=False)
    room.ask("a.test")
    room.clock.advance(2.5)
    room.upstreams[0].answer = silence
    room.ask("a.test")
    began, asked = room.clock.now, room.asked
    reply = room.ask("a.test")
    assert (texts(reply), reply.rr[0].ttl, ede(reply)) == (["192.0.2.1"], 30, 3)
    assert room.clock.now == began
    room.upstreams[0].answer = addresses("192.0.2.8", ttl=60)
    room.clock.advance(12)  # RFC 8767 5: tried again within 30 s
    assert texts(room.ask("a.test")) == ["192.0.2.8"]
    assert room.asked > asked
    assert room.engine.cache.stale == 2


def test_a_refresh_in_vain_leaves_what_holds() -> None:
    room = Room(addresses("192.0.2.1", ttl=100), serve_stale=False)
    for _ in range(4):
        room.ask("a.test")
        room.clock.advance(1)
    room.upstreams[0].answer = failing("SERVFAIL")
    room.clock.advance(88)
    for _ in range(3):
        assert texts(room.ask("a.test")) == ["192.0.2.1"]
    assert room.asked > 1


def test_hits_are_counted_and_keep_an_entry_however_they_are_answered(fast: bool) -> None:
    room = Room(fast_paths=fast, prefetch=False)
    room.engine.cache.resize(2, 1 << 20)
    room.ask("popular.test")
    for n in range(3):
        room.clock.advance(1)
        assert texts(room.ask("popular.test")) == ["192.0.2.1"]
        room.ask(f"once{n}.test")
    room.rows()
    assert room.engine.cache.hits == 3
    assert room.asked == 4


@pytest.mark.parametrize("transport", ["udp", "tcp", "dot", "doh"])
def test_padding_only_where_it_hides_something(transport: str) -> None:
    room = Room()
    plain = question("a.test")
    padded = plain[:-2] + b"\0\x08\0\x0c\0\x04" + bytes(4)
    for _ in range(2):
        for query in (plain, padded):
            replies = room.send(query, transport=transport)
            assert texts(dnslib.DNSRecord.parse(replies[0])) == ["192.0.2.1"]
            assert (len(replies[0]) % 468 == 0) == (query is padded and transport in ("dot", "doh"))


def test_suffixes_have_their_own_upstreams_and_ds_goes_to_the_parent() -> None:
    room = Room(addresses("192.0.2.1"))
    lan, deep = (ScriptedUpstream(n, addresses(a)) for n, a in (("lan", "10.0.0.1"), ("deep", "10.0.0.2")))
    room.forwarder.routes = {
        text_to_name("example.lan"): [Target(lan)], text_to_name("deep.example.lan"): [Target(deep)],
    }  # fmt: skip
    assert texts(room.ask("a.example.lan")) == ["10.0.0.1"]
    assert texts(room.ask("x.deep.example.lan")) == ["10.0.0.2"]
    assert texts(room.ask("notexample.lan")) == ["192.0.2.1"]
    before = room.asked
    room.ask("example.lan", "DS")
    assert room.asked == before + 1
    room.ask("deep.example.lan", "DS")
    assert len(lan.asked) == 2


def test_strategies() -> None:
    both = addresses("192.0.2.1"), addresses("192.0.2.2")
    parallel = Room(silence, both[1], strategy="parallel")
    began = parallel.clock.now
    assert texts(parallel.ask("a.test")) == ["192.0.2.2"]
    assert parallel.clock.now == began
    balanced = Room(*both, strategy="balanced")
    for n in range(10):
        balanced.ask(f"n{n}.test")
    assert [len(u.asked) for u in balanced.upstreams] == [5, 5]
    fastest = Room(*both, strategy="fastest")
    fastest.targets[0].srtt, fastest.targets[1].srtt = 0.2, 0.01
    assert texts(fastest.ask("a.test")) == ["192.0.2.2"]


@pytest.mark.parametrize(
    ("prefixes", "others", "limited"),
    [
        ({}, "192.0.2.9", False),
        ({"rate_prefix4": 24}, "192.0.2.9", True),
        ({"rate_prefix4": 24}, "192.0.3.9", False),
        ({}, "2001:db8::9", False),
    ],
)
def test_a_rate_is_shared_by_a_network(prefixes: dict[str, int], others: str, limited: bool) -> None:
    engine = Engine(
        Policy(),
        Forwarder([], clock=lambda: 1.0, later=lambda *_: None),
        options=EngineOptions(access=("0.0.0.0/0", "::/0"), rate_limit=1, rate_burst=3, **prefixes),
        clock=lambda: 1.0,
    )
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0\x09localhost\0\0\1\0\1"

    def answered(client: str) -> bool:
        reply = engine.answer_now(query, client)
        return reply is not None and not reply[2] & 2

    assert [answered("192.0.2.1") for _ in range(4)] == [True, True, True, False]
    assert answered(others) is not limited
    assert [answered(f"2001:db8:1::{n}") for n in range(4)] == [True, True, True, False]  # one /56
    assert answered("2001:db8:2::1")
    engine.policy.edit("blacklist", add=["x.test"])
    assert not answered("192.0.2.1")  # a change of the rules gives nobody new tokens
