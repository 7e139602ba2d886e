"""How answers are kept, aged, refreshed and served when upstreams are away: rows by id, over real sockets."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset
import pytest
from scripted import IN_A, Liar, Skewed, Wire, address, header, house, name, row

from dnsnb.server import Server


def by_name(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
    """What the first label says: `ok-60`, `nx-30-5`, `nodata-30-5`, `cname-300-3`, `seq-10` (its data counts up)."""
    qname = query.question[0].name
    kind, *numbers = qname.labels[0].decode().split("-")
    ttl = int(numbers[0]) if numbers and numbers[0].isdigit() else 60
    if kind in ("nx", "nodata"):
        reply = dns.message.make_response(query)
        if kind == "nx":
            reply.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns.test. root.test. 1 2 3 4 {numbers[1]}"
        reply.authority.append(dns.rrset.from_text("test.", ttl, "IN", "SOA", soa))
        send(reply)
    elif kind == "cname":
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(qname, ttl, "IN", "CNAME", "end.test."))
        reply.answer.append(dns.rrset.from_text("end.test.", int(numbers[1]), "IN", "A", f"192.0.2.{len(liar.asked)}"))
        send(reply)
    elif kind == "seq":
        send(address(query, f"192.0.2.{len(liar.asked)}", ttl))
    else:
        send(address(query, ttl=ttl))


def told(reply: dns.message.Message) -> list[str]:
    return [r.to_text() for rrset in reply.answer for r in rrset if rrset.rdtype == dns.rdatatype.A]


def codes(reply: dns.message.Message) -> list[int]:
    return [o.code for o in reply.options if o.otype == dns.edns.EDE]


@row("hdr-25-ra-set", "edns-02-v0", "edns-12-advertised-size")
async def test_the_head_of_an_ordinary_reply() -> None:
    async with house(by_name) as wire:
        for asked in (0, 1):  # from the upstream, then from memory
            reply = await wire.ask("ok-60.test", use_edns=0, payload=4096)
            assert reply.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA, asked
            assert (reply.edns, reply.payload, reply.ednsflags) == (0, 1232, 0)
            assert [len(s) for s in (reply.question, reply.answer, reply.authority, reply.additional)] == [1, 1, 0, 0]
        assert [q.payload for q, _ in wire.liar.asked] == [1232]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("said", [b"\x81\x81" + bytes(8), b"\x81\x84" + bytes(8), b""])
async def test_who_knows_no_edns_is_asked_without(said: bytes, transport: str) -> None:
    def old(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if query.edns < 0:
            send(address(query))
        elif said:  # a header alone
            send(query.id.to_bytes(2) + said)
        else:
            reply = dns.message.make_response(query, recursion_available=True)
            reply.use_edns(-1)
            reply.set_rcode(dns.rcode.FORMERR)
            send(reply)

    async with house(old, scheme="" if transport == "udp" else "tcp://") as wire:
        assert told(await wire.ask("a.test")) == ["192.0.2.1"]
        assert told(await wire.ask("b.test")) == ["192.0.2.1"]
        assert [q.edns for q, _ in wire.liar.asked] == [0, -1, -1]  # found out once
        assert {how for _, how in wire.liar.asked} == {transport}


async def test_a_question_that_nobody_can_read_is_asked_twice() -> None:
    def never(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = dns.message.make_response(query, recursion_available=True)
        reply.set_rcode(dns.rcode.FORMERR)
        send(reply)

    async with house(never) as wire:
        assert (await wire.ask("a.test")).rcode() == dns.rcode.SERVFAIL
        assert (await wire.ask("b.test")).rcode() == dns.rcode.SERVFAIL
        assert [q.edns for q, _ in wire.liar.asked] == [0, -1, 0, -1]  # EDNS was not to blame


@row("cache-02-ttl-decrement", "cache-03-expiry")
async def test_ttls_count_down_to_their_end() -> None:
    clock = Skewed()
    async with house(by_name, clock=clock, serve_stale=False) as wire:
        assert (await wire.ask("seq-10.test")).answer[0].ttl == 10
        clock.ahead = 2.2
        reply = await wire.ask("seq-10.test")
        assert (reply.answer[0].ttl in (7, 8), told(reply)) == (True, ["192.0.2.1"])
        clock.ahead = 10.5
        reply = await wire.ask("seq-10.test")
        assert (reply.answer[0].ttl, told(reply)) == (10, ["192.0.2.2"])


@row("cache-04-ttl0")
async def test_ttl_0_is_for_one_asker() -> None:
    async with house(by_name) as wire:
        assert [told(await wire.ask("seq-0.test")) for _ in range(2)] == [["192.0.2.1"], ["192.0.2.2"]]
        assert (await wire.ask("seq-0.test")).answer[0].ttl == 0


@row("cache-05-ttl-msb")
async def test_a_ttl_with_the_top_bit_is_none() -> None:
    def high(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        send(address(query, ttl=77).to_wire().replace(b"\0\0\0\x4d", b"\x80\0\0\1"))

    async with house(high) as wire:
        for _ in range(2):
            assert (await wire.ask("high.test")).answer[0].ttl <= 1
        assert len(wire.liar.asked) == 2


@row("cache-06-ttl-cap")
async def test_no_answer_is_kept_for_more_than_a_day() -> None:
    async with house(by_name) as wire:
        assert (await wire.ask("ok-2147483647.test")).answer[0].ttl == 86_400


@row("cache-07-nxdomain", "cache-12-neg-cap")
async def test_what_is_not_there_is_kept_by_the_soa() -> None:
    clock = Skewed()
    async with house(by_name, clock=clock, serve_stale=False) as wire:
        for ahead, asked in ((0, 1), (0.1, 1), (6.2, 2)):
            clock.ahead = ahead
            reply = await wire.ask("nx-30-5.test")
            assert reply.rcode() == dns.rcode.NXDOMAIN
            assert reply.authority[0].rdtype == dns.rdatatype.SOA
            assert reply.authority[0].ttl <= 5
            assert len(wire.liar.asked) == asked
        assert (await wire.ask("nx-100000-100000.test")).authority[0].ttl == 10_800


@row("cache-08-nodata")
async def test_no_data_is_kept_for_one_type() -> None:
    async with house(by_name) as wire:
        for rdtype in ("A", "A", "AAAA"):
            reply = await wire.ask("nodata-30-5.test", rdtype)
            assert (reply.rcode(), reply.answer) == (0, [])
        assert [q.question[0].rdtype for q, _ in wire.liar.asked] == [dns.rdatatype.A, dns.rdatatype.AAAA]


@row("cache-10-nx-subtree")
async def test_nothing_is_below_what_is_not_there() -> None:
    async with house(by_name) as wire:
        await wire.ask("nx-30-5.test")
        assert (await wire.ask("child.of.nx-30-5.test")).rcode() == dns.rcode.NXDOMAIN
        assert len(wire.liar.asked) == 1
        assert (await wire.ask("ok-60.notnx-30-5.test")).rcode() == 0  # a label's boundary


@row("cache-16-coalesce-case")
async def test_equal_questions_are_asked_once_whatever_their_case_and_options() -> None:
    async def slow(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        await asyncio.sleep(0.1)
        send(address(query))

    async with house(slow) as wire:
        names = ["same.test", "SAME.test", "sAmE.TeSt", "same.TEST"]
        subnets = [dns.edns.ECSOption(f"198.51.{n}.0", 24) for n in range(4)]
        packets = [
            dns.message.make_query(n, "A", use_edns=0, options=[ecs]).to_wire()
            for n, ecs in zip(names, subnets, strict=True)
        ]
        found = await wire.send(*packets, replies=4)
        assert len(found) == 4
        assert len(wire.liar.asked) == 1  # RebirthDay: options of the client's make no further question
        echoed = {dns.message.from_wire(m).id: m for m in found}
        for packet, text in zip(packets, names, strict=True):
            assert name(text) in echoed[int.from_bytes(packet[:2])]


@row("cache-17-cname")
async def test_a_chain_holds_as_long_as_its_shortest_link() -> None:
    clock = Skewed()
    async with house(by_name, clock=clock, serve_stale=False) as wire:
        first = await wire.ask("cname-300-3.test")
        assert [r.rdtype for r in first.answer] == [dns.rdatatype.CNAME, dns.rdatatype.A]
        clock.ahead = 4.2
        assert told(await wire.ask("cname-300-3.test")) == ["192.0.2.2"]


@row("edns-14-do-order")
@pytest.mark.parametrize("order", [(False, True), (True, False)])
async def test_signatures_are_for_who_asks_whoever_asked_first(order: tuple[bool, bool]) -> None:
    def signed(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = address(query)
        if query.ednsflags & dns.flags.DO:
            text = "A 8 2 60 20300101000000 20200101000000 1 test. AAAA"
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "RRSIG", text))
        send(reply)

    async with house(signed) as wire:
        for want in order:
            reply = await wire.ask("signed.test", want_dnssec=want)
            assert any(r.rdtype == dns.rdatatype.RRSIG for r in reply.answer) is want
            assert bool(reply.ednsflags & dns.flags.DO) is want


@row("edge-01-clock")
async def test_a_wall_clock_that_jumps_changes_no_ttl() -> None:
    jump = [0]
    async with house(by_name, wall=lambda: time.time_ns() + jump[0]) as wire:
        await wire.ask("seq-600.test")
        for hours in (1, -1, 24 * 400):
            jump[0] = hours * 3_600_000_000_000
            reply = await wire.ask("seq-600.test")
            assert told(reply) == ["192.0.2.1"]
            assert 590 <= reply.answer[0].ttl <= 600


@row("edns-22-ede-pass")
async def test_the_upstreams_reason_goes_to_who_can_read_it() -> None:
    def bogus(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.SERVFAIL)
        reply.use_edns(0, options=[dns.edns.EDEOption(6, "signature expired")])
        send(reply)

    async with house(bogus) as wire:
        for n in range(2):  # from the upstream, and from memory
            assert codes(await wire.ask("bogus.test", use_edns=0)) == [6], n
            plain = await wire.ask("bogus.test")
            assert (plain.rcode(), plain.edns) == (2, -1)


@row("tc-02-tcp-client")
async def test_who_asks_over_tcp_gets_all_of_it() -> None:
    def cut(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = address(query, count=120)
        if transport == "udp":
            reply.answer.clear()
            reply.flags |= dns.flags.TC
        send(reply)

    async with house(cut) as wire:
        reply = dns.message.from_wire((await wire.tcp(dns.message.make_query("big.test", "A").to_wire()))[0])
        assert (len(reply.answer[0]), reply.flags & dns.flags.TC) == (120, 0)


@row("fail-05-servfail-retry")
async def test_one_failure_is_told_or_tried_again() -> None:
    def once(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = address(query)
        if len(liar.asked) == 1:
            reply.answer.clear()
            reply.set_rcode(dns.rcode.SERVFAIL)
        send(reply)

    clock = Skewed()
    async with house(once, clock=clock) as wire:
        assert (await wire.ask("moody.test")).rcode() in (0, 2)
        assert len(wire.liar.asked) <= 3
        clock.ahead = 7
        assert (await wire.ask("moody.test")).rcode() == 0


@row("fwd-05-stale-then-fresh")
async def test_what_has_ended_serves_until_the_upstream_is_back() -> None:
    away = [False]

    def fades(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if not away[0]:
            by_name(liar, query, transport, send)

    clock = Skewed()
    async with house(fades, clock=clock, prefetch=False) as wire:
        texts, wanted = ("seq-2.test", "nx-30-2.test"), [[3], [19]]
        for text in texts:
            await wire.ask(text)
        away[0], clock.ahead = True, 3
        for most in (2.3, 0.5):  # the second time it is known: nobody waits again
            began = time.perf_counter()
            replies = await asyncio.gather(*(wire.ask(text, use_edns=0) for text in texts))
            assert time.perf_counter() - began < most
            assert [codes(reply) for reply in replies] == wanted
        wire.server.forwarder.abandon("the time of those in flight is over")
        away[0], clock.ahead = False, 33
        for text in texts:
            assert codes(await wire.ask(text, use_edns=0)) == []


@row("fwd-06-prefetch")
async def test_popular_names_are_asked_for_before_their_end() -> None:
    clock = Skewed()
    async with house(by_name, clock=clock) as wire:
        for _ in range(4):
            await wire.ask("seq-100.test")
        await wire.ask("ok-100.test")  # asked once
        asked = len(wire.liar.asked)
        clock.ahead = 95
        assert told(await wire.ask("seq-100.test")) == ["192.0.2.1"]  # nobody waits for it
        async with asyncio.timeout(5):
            while len(wire.liar.asked) == asked:
                await wire.ask("ok-100.test")
        assert (await wire.ask("seq-100.test")).answer[0].ttl > 90
        assert len(wire.liar.asked) == asked + 1


@row("fwd-02-all-down")
async def test_when_all_are_down_few_packets_go_out() -> None:
    def silent(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        return

    async with Liar(silent).run() as one:
        async with Liar().run() as gone:
            refusing = gone.port
        async with Server(upstreams=[f"127.0.0.1:{refusing}", f"127.0.0.1:{one.port}"]) as server:
            server.forwarder.deadline = 1.5
            wire = Wire(server, one)
            began = time.perf_counter()
            packets = [dns.message.make_query("down.test", "A", use_edns=0).to_wire() for _ in range(20)]
            found = await wire.send(*packets, replies=20, wait=8)
            assert time.perf_counter() - began < 3
            assert len(found) == 20
            for message in found:
                reply = dns.message.from_wire(message)
                assert (reply.rcode(), codes(reply)[0] in (22, 23)) == (2, True)
            assert len(one.asked) <= 3
            assert (await wire.ask("down.test")).rcode() == 2  # kept for a moment
            assert len(one.asked) <= 3


@row("fwd-07-domain-routing")
async def test_names_go_to_the_upstream_of_their_longest_suffix() -> None:
    def lan(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        send(address(query, "198.51.100.7"))

    async with (
        Liar().run() as out,
        Liar(lan).run() as inside,
        Server(
            upstreams=[f"127.0.0.1:{out.port}"],
            routes={"lab.lan": [f"127.0.0.1:{inside.port}"], "out.lab.lan": [f"127.0.0.1:{out.port}"]},
        ) as server,
    ):
        wire = Wire(server, out)
        for text, data in (
            ("lab.lan", "198.51.100.7"),
            ("a.LAB.lan", "198.51.100.7"),
            ("b.out.lab.lan", "192.0.2.1"),
            ("notlab.lan", "192.0.2.1"),
            ("lab.lan.test", "192.0.2.1"),
        ):
            assert told(await wire.ask(text)) == [data], text
        asked = len(inside.asked)
        await wire.ask("lab.lan", "DS")  # the parent's to say
        assert len(inside.asked) == asked


@row("edge-02-65535-inflight")
async def test_more_questions_in_flight_than_there_is_room_for() -> None:
    """The oldest fail, memory is bounded, and it recovers; by `make drill` with more questions than there are IDs."""
    count = 70_000 if os.environ.get("DRILL") else 25_000
    silent = [True]

    class Quiet:
        name = "quiet"

        def send(self, query: bytes, done: Any, deadline: float) -> None:
            if not silent[0]:
                done(query[:2] + b"\x81\x80" + query[4:6] + b"\0\1\0\0\0\0" + query[12:-11] + A_RECORD, "")

        def close(self) -> None:
            return

    from dnsnb.dns import forwarding
    from dnsnb.dns.upstream import Target

    async with house() as wire:
        engine, forwarder = wire.server.engine, wire.server.forwarder
        forwarder.targets = [Target(Quiet())]
        failed: list[bytes] = []
        for n in range(count):
            query = header(ident=n % 65536) + name(f"n{n}.test") + IN_A
            assert engine.answer_now(query, "127.0.0.1") is None
            engine.ask(query, "127.0.0.1", "udp", failed.append)
            if n % 1000 == 0:
                engine.drain()
        assert len(failed) == count - forwarding.MAX_PENDING
        assert {reply[3] & 15 for reply in failed} == {2}
        assert len(forwarder.pending) == forwarding.MAX_PENDING
        forwarder.abandon("enough")
        assert len(failed) == count
        silent[0] = False
        await wire.alive()


A_RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"


@row("edge-03-fuzz")
def test_mutated_messages_both_ways_are_never_costly() -> None:
    """A few thousand here; `make fuzz` gives a million each way."""
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))
    import messages

    client, upstream = messages.run(2_000, seed=int(time.time()) % 100_000)
    assert max(client, upstream) < 5, "ms of CPU for one message"


async def test_an_answer_that_fills_a_message_is_told_to_be_too_long() -> None:
    """65,530 octets and our OPT do not fit behind a length of two octets: TC, and the connection lives."""

    def brimful(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = dns.message.make_response(query)
        reply.use_edns(-1)
        if transport == "udp":
            reply.flags |= dns.flags.TC
            send(reply)
            return
        if "full" in query.question[0].name.to_text():
            strings = " ".join(['"' + "x" * 255 + '"'] * 255)
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", strings))
            missing = 65_530 - len(reply.to_wire(max_size=65_535)) - 13
            reply.answer[0].add(dns.rdata.from_text("IN", "TXT", '"' + "y" * missing + '"'))
            assert len(reply.to_wire(max_size=65_535)) == 65_530
        else:
            reply = address(query)
        send(reply)

    async with house(brimful) as wire:
        packets = [
            dns.message.make_query(n, "TXT", use_edns=0).to_wire() for n in ("full.test", "full.test", "ok.test")
        ]
        found = {m[:2]: m for m in await wire.tcp(*packets)}
        assert [bool(found[p[:2]][2] & 2) for p in packets] == [True, True, False]
