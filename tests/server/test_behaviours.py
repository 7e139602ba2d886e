"""How a forwarding, caching, filtering server must behave on the wire: rows by id, raw packets over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from scripted import IN_A, OK, OPT, Liar, Wire, address, closed, header, house, name, opt, option, row

from dnsnb.server import Server


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with house(blacklist=["blocked.test"]) as made:
        yield made


FORMERR, NOTIMP, REFUSED, DROP, BADVERS = 1, 4, 5, -1, 16

# id, packet, rcodes that are right (DROP: silence), whether the upstream may be asked
QUERIES: list[tuple[str, bytes, set[int], bool]] = [
    ("hdr-02-qr-set", header(0x8100) + OK + IN_A, {DROP}, False),
    ("hdr-03-qd0", header(qd=0), {FORMERR}, False),
    ("hdr-04-qd2", header(qd=2) + OK + IN_A + name("two.test") + IN_A, {FORMERR}, False),
    ("hdr-05-qd-mismatch", header(), {FORMERR, DROP}, False),
    ("hdr-08-ptr-self", header() + b"\xc0\x0c" + IN_A, {FORMERR, DROP}, False),
    ("hdr-10-ptr-forward", header() + b"\xc0\xff" + IN_A, {FORMERR, DROP}, False),
    ("hdr-11-label-type-01", header() + b"\x41a\0" + IN_A, {FORMERR, DROP}, False),
    ("hdr-11-label-type-10", header() + b"\x81a\0" + IN_A, {FORMERR, DROP}, False),
    ("hdr-14-trailing", header() + OK + IN_A + b"x" * 20, {0, FORMERR}, True),
    ("hdr-17-aa-ra-in-query", header(0x0580) + OK + IN_A, {0}, True),
    ("hdr-18-tc-in-query", header(0x0300) + OK + IN_A, {0, FORMERR}, True),
    ("hdr-19-opcode-unknown", header(0x7900, qd=0), {NOTIMP}, False),
    ("hdr-21-update", header(0x2900) + OK + b"\0\6\0\1", {NOTIMP, REFUSED}, False),
    ("hdr-22-iquery-status-dso-1", header(0x0900) + OK + IN_A, {NOTIMP}, False),
    ("hdr-22-iquery-status-dso-2", header(0x1100) + OK + IN_A, {NOTIMP}, False),
    ("hdr-22-iquery-status-dso-3", header(0x1900) + OK + IN_A, {NOTIMP}, False),
    ("hdr-22-iquery-status-dso-6", header(0x3100) + OK + IN_A, {NOTIMP}, False),
    ("hdr-24-rd0", header(0x0000) + OK + IN_A, {REFUSED}, False),
    ("name-64-label", header() + b"\x40" + b"a" * 64 + b"\0" + IN_A, {FORMERR, DROP}, False),
    ("name-over-255", header() + (b"\x3f" + b"a" * 63) * 4 + b"\0" + IN_A, {FORMERR, DROP}, False),
    ("name-no-end", header() + b"\3abc", {FORMERR, DROP}, False),
    ("short-header", header()[:11], {DROP}, False),
    ("type-05-axfr-udp", header() + OK + b"\0\xfc\0\1", {FORMERR, REFUSED, NOTIMP}, False),
    ("type-05-axfr-udp-ixfr", header() + OK + b"\0\xfb\0\1", {FORMERR, REFUSED, NOTIMP}, False),
    ("type-07-opt-qtype", header() + OK + b"\0\x29\0\1", {FORMERR, REFUSED, NOTIMP}, False),
    ("type-08-class-ch-version", header() + name("version.bind") + b"\0\x10\0\3", {REFUSED}, False),
    ("type-08-class-ch-id", header() + name("id.server") + b"\0\x10\0\3", {REFUSED}, False),
    ("type-10-class-any", header() + OK + b"\0\1\0\xff", {REFUSED, NOTIMP}, False),
    ("edns-06-two-opt", header(ar=2) + OK + IN_A + OPT + OPT, {FORMERR}, False),
    ("edns-07-opt-name", header(ar=1) + OK + IN_A + b"\1a" + OPT, {FORMERR}, False),
    ("edns-08-rdlen-past-end", header(ar=1) + OK + IN_A + OPT[:-2] + b"\0\x40", {FORMERR}, False),
    ("edns-08-option-past-rdlen", header(ar=1) + OK + IN_A + opt(b"\0\x0a\0\x40xy"), {FORMERR}, False),
    ("edns-08-rdlen-3", header(ar=1) + OK + IN_A + opt(b"\0\x0a\0"), {FORMERR}, False),
    ("edns-03-badvers", header(ar=1) + OK + IN_A + opt(version=1), {BADVERS}, False),
    ("edns-04-unknown-option", header(ar=1) + OK + IN_A + opt(option(65005, bytes(10))), {0}, True),
    ("edns-05-unknown-flag", header(ar=1) + OK + IN_A + opt(flags=0x0080), {0}, True),
    ("edns-18-cookie", header(ar=1) + OK + IN_A + opt(option(10, bytes(range(8)))), {0}, True),
    ("edns-18-cookie-short", header(ar=1) + OK + IN_A + opt(option(10, bytes(5))), {0, FORMERR}, True),
    ("edns-19-ecs-leak", header(ar=1) + OK + IN_A + opt(option(8, b"\0\1\x18\0\xc6\x33\x64")), {0}, True),
    ("edns-23-keepalive-udp", header(ar=1) + OK + IN_A + opt(option(11, b"")), {0}, True),
    ("edns-24-padding-udp", header(ar=1) + OK + IN_A + opt(option(12, bytes(32))), {0}, True),
]


@pytest.mark.parametrize(("rcodes", "packet", "forwarded"), [pytest.param(r, p, f, id=i) for i, p, r, f in QUERIES])
async def test_a_query_of_every_kind(wire: Wire, packet: bytes, rcodes: set[int], forwarded: bool) -> None:
    began = time.perf_counter()
    found = await wire.send(packet, wait=0.25 if DROP in rcodes else 3)
    if not found:
        assert DROP in rcodes
        await wire.alive()
        return
    assert time.perf_counter() - began < 1
    reply = found[0]
    ident, flags, _, _, _, arcount = struct.unpack("!6H", reply[:12])
    assert ident == 0x1234
    assert flags & 0x8000, "QR"
    assert not flags & 0x0440, "AA and Z are never set"
    assert flags & 0x7800 == int.from_bytes(packet[2:4]) & 0x7800, "the opcode comes back"
    rcode = flags & 15
    if arcount:
        rcode |= reply[reply.rindex(b"\0\0\x29") + 5] << 4
        parsed = dns.message.from_wire(reply)
        assert parsed.edns == 0
        assert parsed.ednsflags & 0x7FFF == 0
        assert all(o.otype == dns.edns.EDE for o in parsed.options)  # nothing of the query's comes back
    assert rcode in rcodes
    assert forwarded or not wire.liar.asked
    for query, _ in wire.liar.asked:  # what is hop-by-hop, or garbage, went no further
        assert not query.options
        assert b"xxxx" not in query.to_wire()
        assert query.flags & (dns.flags.AA | dns.flags.RA | dns.flags.TC) == 0
        assert 512 <= query.payload <= 1400
    await wire.alive()


@row("hdr-15-ancount-in-query")
async def test_hdr_15_records_in_a_query_never_reach_the_cache(wire: Wire) -> None:
    record = b"\xc0\x0c\0\1\0\1\0\0\xff\xff\0\4\xcb\0\x71\x42"
    await wire.send(header(an=1) + OK + IN_A + record)
    reply = await wire.ask("ok.test")
    assert [r.to_text() for r in reply.answer[0]] == ["192.0.2.1"]


@row("hdr-13-name-255")
async def test_hdr_13_the_longest_name_is_resolved(wire: Wire) -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    reply = await wire.ask(longest)
    assert len(reply.question[0].name.to_wire()) == 255
    assert reply.answer


@row("hdr-23-id-0")
async def test_hdr_23_ids_come_back(wire: Wire) -> None:
    for ident in (0, 65535):
        found = await wire.send(header(ident=ident) + OK + IN_A)
        assert found[0][:2] == ident.to_bytes(2)


@row("name-03-binary-label", "name-06-utf8")
@pytest.mark.parametrize(
    "label", [b"\0x", b"a.b", b"\\", b"\xff", b" ", b'"', b"<script>", b"\xc3\xa9", b"xn--caf-dma"]
)
async def test_name_03_any_octets_are_forwarded_as_they_are(wire: Wire, label: bytes) -> None:
    qname = bytes([len(label)]) + label + name("bin.test")
    found = await wire.send(header() + qname + IN_A)
    assert qname in found[0]
    assert qname in wire.liar.asked[-1][0].to_wire()
    assert struct.unpack("!H", found[0][6:8])[0] == 1


@row("name-02-upstream-lowercases")
async def test_name_02_an_upstream_that_lowers_case_is_no_trouble() -> None:
    def lowers(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        send(address(query).to_wire().replace(b"MiXeD", b"mixed"))

    async with house(lowers) as wire:
        found = await wire.send(header() + name("MiXeD.test") + IN_A)
        assert b"MiXeD" in found[0]
        assert found[0][3] & 15 == 0


@row("type-01-unknown")
async def test_type_01_unknown_types_pass_through() -> None:
    def unknown(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TYPE65280", "\\# 4 01020304"))
        send(reply)

    async with house(unknown) as wire:
        for _ in range(2):
            reply = await wire.ask("odd.test", "TYPE65280")
            assert reply.answer[0][0].to_text() == "\\# 4 01020304"


@row("type-03-https")
async def test_type_03_https_without_data_passes_through(wire: Wire) -> None:
    reply = await wire.ask("www.test", "HTTPS")
    assert reply.rcode() == 0
    assert not reply.answer
    assert reply.authority


@row("type-04-any")
async def test_type_04_any_is_answered_small(wire: Wire) -> None:
    found = await wire.send(dns.message.make_query("ok.test", "ANY").to_wire())
    assert len(found[0]) < 120
    assert not wire.liar.asked


@row("edns-11-1232", "tc-05-big-from-cache")
async def test_edns_11_no_udp_reply_is_larger_than_1232() -> None:
    def many(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = address(query, count=200)
        if transport == "udp":
            reply = dns.message.make_response(query)
            reply.flags |= dns.flags.TC
        send(reply)

    async with house(many) as wire:
        query = dns.message.make_query("many.test", "A", use_edns=0, payload=65535).to_wire()
        found = await wire.send(query)
        assert len(found[0]) <= 1232
        assert found[0][2] & 2
        plain_query = dns.message.make_query("many.test", "A").to_wire()
        found = await wire.send(plain_query)
        assert len(found[0]) <= 512
        assert found[0][2] & 2
        over_tcp = dns.message.from_wire((await wire.tcp(plain_query))[0])
        assert len(over_tcp.answer[0]) == 200
        assert not over_tcp.flags & dns.flags.TC


@row("edns-16-ad")
async def test_edns_16_ad_only_for_who_asks() -> None:
    def secure(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = address(query)
        reply.flags |= dns.flags.AD
        send(reply)

    async with house(secure) as wire:
        assert not (await wire.ask("s.test")).flags & dns.flags.AD
        query = dns.message.make_query("s.test", "A")
        query.flags |= dns.flags.AD
        assert dns.message.from_wire((await wire.send(query.to_wire()))[0]).flags & dns.flags.AD
        assert (await wire.ask("s.test", want_dnssec=True)).flags & dns.flags.AD


@row("edns-15-cd-cache")
async def test_edns_15_checking_disabled_is_kept_apart() -> None:
    def strict(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if query.flags & dns.flags.CD:
            send(address(query))
        else:
            reply = dns.message.make_response(query)
            reply.set_rcode(dns.rcode.SERVFAIL)
            send(reply)

    async with house(strict) as wire:
        seen = []
        for cd in (False, True, False):
            query = dns.message.make_query("cd.test", "A")
            query.flags |= dns.flags.CD if cd else 0
            seen.append(dns.message.from_wire((await wire.send(query.to_wire()))[0]).rcode())
        assert seen == [2, 0, 2]


def forged(query: dns.message.Message, how: str) -> Any:
    reply = address(query, "203.0.113.66")
    if how == "wrongq":
        other = dns.message.make_query("other.test", "A")
        other.id = query.id
        return address(other, "203.0.113.66")
    if how == "wrongtype":
        other = dns.message.make_query(query.question[0].name, "AAAA")
        other.id = query.id
        return address(other)
    if how == "wrongid":
        reply.id ^= 1
    if how == "noqr":
        reply.flags &= ~dns.flags.QR
    if how == "garbage":
        return struct.pack("!H", query.id) + b"\x81\x80" + b"\xff" * 30
    if how == "hdronly":
        return struct.pack("!6H", query.id, 0x8180, 0, 0, 0, 0)
    if how == "short":
        return struct.pack("!H", query.id)
    return reply


@pytest.mark.parametrize(
    "how",
    [
        *(pytest.param(how, id=f"spoof-{how}") for how in ("wrongq", "wrongtype", "wrongid", "noqr", "wrongsrc")),
        *(pytest.param(how, id=f"badup-{how}") for how in ("garbage", "hdronly", "short")),
    ],
)
async def test_spoof_a_forged_answer_is_waited_out(how: str) -> None:
    async def lies(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if transport == "udp":
            if how == "wrongsrc":
                other, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
                )
                liar.others.append(other)
                send(forged(query, how), other)
            else:
                send(forged(query, how))
            await asyncio.sleep(0.15)
        send(address(query))

    async with house(lies) as wire:
        for _ in range(2):
            reply = await wire.ask("victim.test")
            assert [r.to_text() for r in reply.answer[0]] == ["192.0.2.1"]


@row("spoof-port-random")
async def test_spoof_ports_and_ids_cant_be_guessed(wire: Wire) -> None:
    for n in range(40):
        await wire.ask(f"n{n}.test")
    assert len(set(wire.liar.ports)) >= 30
    ids = [query.id for query, _ in wire.liar.asked]
    assert len(set(ids)) >= 39
    assert sum(abs(a - b) < 3 for a, b in itertools.pairwise(ids)) <= 2


@row("tc-01-upstream-tc")
async def test_tc_01_a_truncated_answer_is_asked_again_over_tcp() -> None:
    def cut(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if transport == "udp":
            reply = address(query, "203.0.113.99")
            reply.flags |= dns.flags.TC
            send(reply)
        else:
            send(address(query))

    async with house(cut) as wire:
        for _ in range(2):
            assert [r.to_text() for r in (await wire.ask("cut.test")).answer[0]] == ["192.0.2.1"]


@row("tc-06-tcp-dead")
async def test_tc_06_a_dead_tcp_upstream_is_no_hang() -> None:
    def dead(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if transport == "udp":
            reply = address(query, "203.0.113.99")
            reply.flags |= dns.flags.TC
            send(reply)

    async with house(dead) as wire:
        began = time.perf_counter()
        reply = await wire.ask("cut.test")
        assert time.perf_counter() - began < 5
        assert reply.rcode() == 2 or (reply.flags & dns.flags.TC and not reply.answer)


@row("tcp-01-one-byte")
async def test_tcp_01_one_octet_at_a_time(wire: Wire) -> None:
    found = await wire.tcp(dns.message.make_query("slow.test", "A").to_wire(), one_by_one=True)
    assert dns.message.from_wire(found[0]).answer


@row("tcp-02-pipelining")
async def test_tcp_02_pipelined_queries_are_all_answered(wire: Wire) -> None:
    queries = [dns.message.make_query(f"p{n}.test", "A") for n in range(5)]
    found = await wire.tcp(*(q.to_wire() for q in queries))
    assert {dns.message.from_wire(m).id for m in found} == {q.id for q in queries}


async def test_who_has_said_all_still_gets_the_answers(wire: Wire) -> None:
    reader, writer = await asyncio.open_connection(*wire.where)
    try:
        for n in range(3):
            query = dns.message.make_query(f"half{n}.test", "A").to_wire()
            writer.write(len(query).to_bytes(2) + query)
        writer.write_eof()
        async with asyncio.timeout(8):
            raw = await reader.read()  # to the end, which comes after the last answer
    finally:
        await closed(writer)
    found = []
    while raw:
        size = int.from_bytes(raw[:2])
        found.append(dns.message.from_wire(raw[2 : size + 2]))
        raw = raw[size + 2 :]
    assert [len(reply.answer) for reply in found] == [1, 1, 1]


@row("tc-04-big-tcp")
async def test_tc_04_a_large_answer_is_whole_over_tcp() -> None:
    def huge(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = dns.message.make_response(query)
        if transport == "udp":
            reply.flags |= dns.flags.TC
        else:
            values = [f"10.0.{n // 250}.{n % 250}" for n in range(2000)]
            reply.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "A", values))
        send(reply)

    async with house(huge) as wire:
        found = await wire.tcp(dns.message.make_query("huge.test", "A").to_wire())
        assert len(dns.message.from_wire(found[0]).answer[0]) == 2000


@row("fail-01-timeout")
async def test_fail_01_silence_is_servfail_with_the_reason_in_time() -> None:
    def silent(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        return

    async with house(silent) as wire:
        began = time.perf_counter()
        reply = await wire.ask("dead.test", use_edns=0)
        assert time.perf_counter() - began < 5
        assert reply.rcode() == 2
        assert next(o.code for o in reply.options if o.otype == dns.edns.EDE) in (22, 23)
        assert [transport for _, transport in wire.liar.asked] == ["udp", "udp", "tcp"]  # two that can be guessed at
        assert not (await wire.ask("dead.test")).options  # no OPT for who sent none


@row("fail-02-lost-first")
async def test_fail_02_a_lost_packet_is_sent_again() -> None:
    def loses(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if len(liar.asked) > 1:
            send(address(query))

    async with house(loses) as wire:
        began = time.perf_counter()
        assert (await wire.ask("lost.test")).answer
        assert time.perf_counter() - began < 2


@row("cache-13-servfail", "cache-14-refused")
@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_cache_13_14_failures_are_remembered_for_a_moment(rcode: dns.rcode.Rcode) -> None:
    def fails(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = dns.message.make_response(query)
        reply.set_rcode(rcode)
        send(reply)

    async with house(fails) as wire:
        assert (await wire.ask("f.test")).rcode() in (2, 5)
        asked = len(wire.liar.asked)
        assert asked <= 3
        assert (await wire.ask("f.test")).rcode() in (2, 5)
        assert len(wire.liar.asked) == asked


@row("fwd-03-servfail-next")
async def test_fwd_03_the_next_upstream_is_asked_and_nxdomain_is_final() -> None:
    def first(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.NXDOMAIN if "nx" in query.question[0].name.to_text() else dns.rcode.SERVFAIL)
        if reply.rcode() == dns.rcode.NXDOMAIN:
            reply.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA", "ns.test. root.test. 1 2 3 4 60"))
        send(reply)

    async with Liar(first).run() as one, Liar().run() as two:
        upstreams = [f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"]
        async with Server(upstreams=upstreams) as server:
            wire = Wire(server, one)
            assert (await wire.ask("good.test")).answer
            asked = len(two.asked)
            assert (await wire.ask("nx.test")).rcode() == dns.rcode.NXDOMAIN
            assert len(two.asked) == asked


@row("filter-04-cname-cloak")
@pytest.mark.parametrize("hops", [1, 8])
@pytest.mark.parametrize("ends", [True, False])
async def test_filter_04_a_tracker_behind_aliases_is_blocked(hops: int, ends: bool) -> None:
    def cloak(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        reply = dns.message.make_response(query)
        owner = query.question[0].name
        chain = [dns.name.from_text(f"h{n}.test") for n in range(hops - 1)] + [dns.name.from_text("t.blocked.test")]
        for target in chain:
            reply.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", target.to_text()))
            owner = target
        if ends:
            reply.answer.append(dns.rrset.from_text(owner, 60, "IN", "A", "192.0.2.1"))
        send(reply)

    async with house(cloak, blacklist=["blocked.test"]) as wire:
        for _ in range(2):
            reply = await wire.ask("shop.test", use_edns=0)
            assert [r.to_text() for rrset in reply.answer for r in rrset] == ["0.0.0.0"]
            assert [o.code for o in reply.options] == [15]


@row("filter-09-rebinding")
@pytest.mark.parametrize("data", ["127.0.0.1", "10.1.1.1", "192.168.1.1", "169.254.1.1"])
async def test_filter_09_a_public_name_doesnt_point_inside(data: str) -> None:
    def inside(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        send(address(query, data))

    async with house(inside, rebind_protection=True, rebind_allow=["home.test"]) as wire:
        for _ in range(2):
            reply = await wire.ask("evil.test", use_edns=0)
            assert data not in reply.to_text()
            assert reply.options
        assert data in (await wire.ask("nas.home.test")).to_text()


@pytest.mark.parametrize(
    ("asked", "rdtype", "rcode", "data"),
    [
        pytest.param(asked, rdtype, rcode, data, id="special-" + asked.replace(".", "_"))
        for asked, rdtype, rcode, data in (
            ("localhost", "A", 0, ["127.0.0.1"]),
            ("a.localhost", "AAAA", 0, ["::1"]),
            ("1.0.0.127.in-addr.arpa", "PTR", 0, ["localhost."]),
            ("x.home.arpa", "A", 3, []),
            ("_dns.resolver.arpa", "SVCB", 0, []),
            ("printer.local", "A", 3, []),
            ("x.invalid", "A", 3, []),
            ("x.onion", "A", 3, []),
            ("9.1.168.192.in-addr.arpa", "PTR", 3, []),
            ("0.0.127.in-addr.arpa", "PTR", 0, []),  # 1.0.0.127 is below it
            ("10.in-addr.arpa", "NS", 0, ["10.in-addr.arpa."]),
            ("10.in-addr.arpa", "SOA", 0, ["10.in-addr.arpa. nobody.invalid. 1 3600 600 86400 3600"]),
            ("home.arpa", "A", 0, []),
        )
    ],
)
async def test_special_use_names_stay_here(wire: Wire, asked: str, rdtype: str, rcode: int, data: list[str]) -> None:
    reply = await wire.ask(asked, rdtype)
    assert (reply.rcode(), [r.to_text() for rrset in reply.answer for r in rrset]) == (rcode, data)
    assert not wire.liar.asked


@row("acl-01")
async def test_acl_01_only_this_machine_may_ask_unless_told_otherwise() -> None:
    async with house(allow_clients=["127.0.0.9"]) as wire:
        found = await wire.send(header() + OK + IN_A)
        assert found == [] or found[0][3] & 15 == REFUSED
        assert not wire.liar.asked


async def test_edge_many_expensive_messages_cost_little(wire: Wire) -> None:
    record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\0\0\0\0"
    cookies = b"".join(option(10, bytes(8)) for _ in range(100))
    hostile = [
        header(an=4000) + OK + IN_A + record * 4000,
        header(ar=4000) + OK + IN_A + record * 4000,
        header(ar=1) + OK + IN_A + opt(cookies),
        header() + b"\xc0\x0c" * 2000,
        header(qd=65535) + b"\0\0\1\0\1" * 10000,
    ]
    began = time.process_time()
    await wire.send(*hostile, replies=len(hostile), wait=0.3)
    assert time.process_time() - began < 0.5
    await wire.alive()


@row("tcp-07-idle")
async def test_tcp_07_who_says_nothing_or_half_a_word_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from dnsnb.server import listeners

    monkeypatch.setattr(listeners, "IDLE_SECONDS", 0.2)
    async with house() as wire:
        streams = [await asyncio.open_connection(*wire.where) for _ in range(2)]
        streams[1][1].write(b"\0")
        async with asyncio.timeout(5):
            for reader, writer in streams:
                assert await reader.read() == b""
                await closed(writer)
        await wire.alive()


@row("tcp-09-many")
async def test_tcp_09_a_crowd_of_connections_shuts_nobody_out(wire: Wire) -> None:
    crowd = [await asyncio.open_connection(*wire.where) for _ in range(200)]
    try:
        await wire.alive()
        found = await wire.tcp(dns.message.make_query("new.test", "A").to_wire())
        assert dns.message.from_wire(found[0]).answer
    finally:
        await closed(*(writer for _, writer in crowd))


@row("rrl-01")
async def test_rrl_01_a_flood_from_one_asker_is_told_to_use_tcp() -> None:
    async with house(rate_limit=50, rate_burst=20) as wire:
        packets = [header(ident=n) + name(f"n{n}.test") + IN_A for n in range(300)]
        found = await wire.send(*packets, replies=300, wait=1.5)
        cut = [m for m in found if m[2] & 2]
        assert len(cut) > 200
        assert all(len(m) < 60 for m in cut)
        assert len(wire.liar.asked) < 100
        over_tcp = await wire.tcp(dns.message.make_query("calm.test", "A").to_wire())
        assert over_tcp


@row("fwd-01-failover")
async def test_fwd_01_a_dead_upstream_costs_little_and_comes_back() -> None:
    dead = [True]

    def moody(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if not dead[0]:
            send(address(query))

    async with Liar(moody).run() as one, Liar().run() as two:
        upstreams = [f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"]
        async with Server(upstreams=upstreams) as server:
            wire = Wire(server, one)
            began = time.perf_counter()
            assert (await wire.ask("first.test")).answer
            assert time.perf_counter() - began < 1.5
            for n in range(3):
                began = time.perf_counter()
                assert (await wire.ask(f"next{n}.test")).answer
            assert time.perf_counter() - began < 0.5  # it is known to be down by now
            dead[0] = False
            target = server.forwarder.targets[0]
            target.down_until = 0.0  # as if its time had passed
            await wire.ask("probe.test")
            async with asyncio.timeout(5):
                while target.state != "up":
                    await wire.ask(f"again{time.monotonic_ns()}.test")


@row("fwd-04-serve-stale")
async def test_fwd_04_stale_answers_while_upstreams_are_away() -> None:
    away = [False]

    def fades(liar: Liar, query: dns.message.Message, transport: str, send: Any) -> None:
        if not away[0]:
            send(address(query, ttl=1))

    async with house(fades, prefetch=False) as wire:
        await wire.ask("old.test")
        away[0] = True
        entry = next(entry for _, entry in wire.server.engine.cache.items())
        entry.expires = wire.server.engine.clock() - 1
        wire.server.engine.forget()
        began = time.perf_counter()
        reply = await wire.ask("old.test", use_edns=0)
        assert time.perf_counter() - began < 2.5
        assert reply.answer[0].ttl <= 30
        assert [o.code for o in reply.options] == [3]
        wire.server.policy.edit("blacklist", add=["old.test"])
        reply = await wire.ask("old.test", use_edns=0)
        assert [o.code for o in reply.options] == [15]  # a rule made meanwhile holds for what is stale


@row("fwd-08-loop")
async def test_fwd_08_a_server_that_is_its_own_upstream_does_not_storm() -> None:
    async with Liar().run() as liar, Server(upstreams=[f"127.0.0.1:{liar.port}"]) as server:
        from dnsnb.dns.upstream import Target
        from dnsnb.server.upstreams import open_upstreams

        looped = open_upstreams([server.dns_address])
        server.forwarder.targets = [Target(looped[0])]
        try:
            wire = Wire(server, liar)
            reply = await wire.ask("loop.test")
            assert reply.rcode() == 2
            assert server.forwarder.targets[0].sent < 50
        finally:
            looped[0].close()


@row("edge-04-ipv6")
@pytest.mark.parametrize("qname", ["ok.test", "blocked.test", "localhost"])
async def test_edge_04_the_same_over_ipv6(qname: str) -> None:
    async with house(dns="[::1]:0", blacklist=["blocked.test"]) as wire:
        host, port = wire.where[0].strip("[]"), wire.where[1]
        query = dns.message.make_query(qname, "A")
        udp = await dns.asyncquery.udp(query, host, port=port, timeout=5)
        tcp = await dns.asyncquery.tcp(query, host, port=port, timeout=5)
        assert udp.answer
        assert udp.answer == tcp.answer


@row("edge-05-reply-source")
@pytest.mark.parametrize("qname", ["ok.test", "localhost"])
async def test_edge_05_the_reply_comes_from_the_address_that_was_asked(qname: str) -> None:
    async with house(dns="0.0.0.0:0", allow_clients=["127.0.0.0/8"]) as wire:
        for asked in ("127.0.0.2", "127.0.0.3", "127.0.0.1"):
            query = dns.message.make_query(qname, "A")
            # dnspython takes replies from the asked address alone
            assert (await dns.asyncquery.udp(query, asked, port=wire.where[1], timeout=5)).answer
