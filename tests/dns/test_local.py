"""Local names: answers of every type, chains, wildcards, files, and records that are refused with the reason."""

from __future__ import annotations

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from dnsnb.dns.local import LocalRecords, Record, parse_record, read_hosts, read_zone, wire_rdata
from dnsnb.dns.names import name_tail
from dnsnb.dns.policy import Policy
from dnsnb.errors import SettingError

A, CNAME, PTR, MX, TXT, AAAA, SRV = 1, 5, 12, 15, 16, 28, 33


def wire(name: str) -> bytes:
    return name_tail(name) + b"\0"


def local(*records: tuple[str, str, str]) -> LocalRecords:
    held = LocalRecords()
    held.replace(Record(*record) for record in records)
    return held


@pytest.mark.parametrize(
    ("rtype", "data"),
    [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("CNAME", "host.example.com."),
        ("PTR", "host.example.com."),
        ("NS", "ns1.example.com."),
        ("MX", "10 mail.example.com."),
        ("TXT", '"one" "two; three"'),
        ("SRV", "0 5 5060 sip.example.com."),
        ("CAA", '0 issue "ca.example.net"'),
        ("SSHFP", "1 1 0123456789abcdef0123456789abcdef01234567"),
        ("TLSA", "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("NAPTR", '100 10 "S" "SIP+D2U" "" _sip._udp.example.com.'),
        ("HTTPS", "1 . alpn=h2"),
    ],
)
def test_rdata_is_what_dnspython_makes_of_it(rtype: str, data: str) -> None:
    number, rdata = wire_rdata(Record("x.lan", rtype, data))
    expected = dns.rdata.from_text(dns.rdataclass.IN, rtype, data)
    assert number == dns.rdatatype.from_text(rtype)
    assert rdata == expected.to_wire()


@pytest.mark.parametrize(
    ("rtype", "data", "setting"),
    [
        ("A", "2001:db8::1", "records.data"),
        ("A", "nas", "records.data"),
        ("AAAA", "192.0.2.1", "records.data"),
        ("MX", "mail.example.com", "records.data"),
        ("SRV", "1 2 x", "records.data"),
        ("TXT", 'a"\nb', "records.data"),
        ("CNAME", "two words", "records.data"),
        ("TYPE1", "x", "records.type"),
        ("SPF", "x", "records.type"),
    ],
)
def test_wrong_data_is_refused_with_an_example(rtype: str, data: str, setting: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_record({"name": "x.lan", "type": rtype, "data": data})
    assert caught.value.setting == setting
    assert caught.value.value == (data if setting.endswith("data") else rtype)


@pytest.mark.parametrize(
    "item",
    [
        {"name": "x.lan", "type": "A"},
        {"name": "x.lan", "type": "A", "data": "192.0.2.1", "ttl": -1},
        {"name": "x.lan", "type": "A", "data": "192.0.2.1", "ttl": True},
        {"name": "x y", "type": "A", "data": "192.0.2.1"},
        {"name": "x.lan", "type": "A", "data": "192.0.2.1", "class": "CH"},
        {"name": 5, "type": "A", "data": "192.0.2.1"},
    ],
)
def test_wrong_records_are_refused(item: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        parse_record(item)


def test_answers() -> None:
    held = local(
        ("nas.lan", "A", "192.168.1.2"),
        ("nas.lan", "A", "192.168.1.3"),
        ("nas.lan", "AAAA", "fd00::2"),
        ("www.lan", "CNAME", "web.lan"),
        ("web.lan", "CNAME", "NAS.lan"),
        ("out.lan", "CNAME", "example.com"),
        ("loop.lan", "CNAME", "pool.lan"),
        ("pool.lan", "CNAME", "loop.lan"),
        ("*.apps.lan", "A", "192.168.1.9"),
        ("fixed.apps.lan", "A", "192.168.1.8"),
    )
    found = held.answer(wire("nas.lan"), A)
    assert found is not None
    assert [rr.rdata[-1] for rr in found] == [2, 3]
    assert held.answer(wire("nas.lan"), TXT) == []
    assert held.answer(wire("other.lan"), A) is None
    assert held.answer(wire("lan"), A) is None
    assert held.answer(wire("nas.lan"), A, 3) is None
    chain = held.answer(wire("www.lan"), AAAA)
    assert chain is not None
    assert [(rr.name, rr.type) for rr in chain] == [
        (wire("www.lan"), CNAME), (wire("web.lan"), CNAME), (wire("nas.lan"), AAAA),
    ]  # fmt: skip
    alias = held.answer(wire("www.lan"), CNAME)
    assert alias is not None
    assert len(alias) == 1
    outside = held.answer(wire("out.lan"), A)
    assert outside is not None
    assert outside[-1].rdata == wire("example.com")
    assert held.answer(wire("loop.lan"), A) is not None  # ends, however it is wired
    for name, last in (("x.apps.lan", 9), ("a.b.apps.lan", 9), ("fixed.apps.lan", 8)):
        found = held.answer(wire(name), A)
        assert found is not None
        assert (found[0].name, found[0].rdata[-1]) == (wire(name), last)
    assert held.answer(wire("apps.lan"), A) is None
    assert held.is_local(wire("x.apps.lan"))


def test_a_cname_stands_alone() -> None:
    for other in (("x.lan", "A", "192.0.2.1"), ("x.lan", "CNAME", "z.lan")):
        with pytest.raises(SettingError, match="CNAME"):
            local(("x.lan", "CNAME", "y.lan"), other)
        with pytest.raises(SettingError, match="CNAME"):
            local(other, ("x.lan", "CNAME", "y.lan"))


def test_changes_are_all_or_nothing_and_move_the_generation() -> None:
    policy = Policy()
    policy.local.add([Record("nas.lan", "A", "192.168.1.2")])
    assert policy.generation == 2
    with pytest.raises(SettingError):
        policy.local.add([Record("b.lan", "A", "192.168.1.3"), Record("c.lan", "A", "x")])
    assert (policy.generation, len(policy.local)) == (2, 1)
    assert policy.local.remove("nas.lan", "AAAA") == []
    assert [r.name for r in policy.local.remove("NAS.lan")] == ["nas.lan"]
    assert (policy.generation, policy.local.answer(wire("nas.lan"), A)) == (3, None)


def test_a_hosts_file_gives_names_and_pointers() -> None:
    records, skipped = read_hosts(
        "192.168.1.2 NAS.lan nas # box\nfd00::2%eth0 nas.lan\n\nbad nas\n192.168.1.9\n1.2.3.4 a_b c d/e\n"
    )
    assert [(r.name, r.type, r.data) for r in records] == [
        ("nas.lan", "A", "192.168.1.2"),
        ("2.1.168.192.in-addr.arpa", "PTR", "nas.lan"),
        ("nas", "A", "192.168.1.2"),
        ("nas.lan", "AAAA", "fd00::2"),
        (records[4].name, "PTR", "nas.lan"),
        ("a_b", "A", "1.2.3.4"),
        ("4.3.2.1.in-addr.arpa", "PTR", "a_b"),
        ("c", "A", "1.2.3.4"),
    ]
    assert [line for line, _, _ in skipped] == [4, 5, 6]


def test_a_zone_file_gives_its_records() -> None:
    records, skipped = read_zone(
        "$ORIGIN example.test.\n$TTL 1h\n@ IN SOA ns root 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
        '*.w 60 AAAA 2001:db8::1\nmail MX 10 ns\n_s._tcp SRV 0 5 80 ns\nt TXT "a b"\n'
    )
    held = LocalRecords()
    held.replace(records)
    assert len(skipped) == 2
    found = held.answer(wire("q.w.example.test"), AAAA)
    assert found is not None
    assert found[0].ttl == 60
    found = held.answer(wire("mail.example.test"), MX)
    assert found is not None
    assert found[0].rdata == b"\0\n" + wire("ns.example.test")
    assert held.answer(wire("t.example.test"), TXT)
    assert held.answer(wire("_s._tcp.example.test"), SRV)
    with pytest.raises(SettingError, match="zone_file"):
        read_zone("@ IN A not-an-address\n")
