"""What we do where an RFC leaves it open, or asks for something else: the one place where it is written, with reasons.

No I/O; imports nothing of ours. tests/server/test_behaviour_rows.py holds it; `reserved.SPECIAL_USE` has each name.
"""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """One decision. `rows` are ids of the tests that show it."""

    what: str
    why: str
    rows: tuple[str, ...]


CHOICES = (
    Choice(
        "A query with RD=0 is answered from memory; what is not there is REFUSED, with EDE 20.",
        "RFC 8906 leaves it to local policy; a forwarder that asked would let others map what its users look up.",
        ("hdr-24-rd0",),
    ),
    Choice(
        "ANY is answered by one HINFO record, RFC8482, and never forwarded.",
        "RFC 8482 4.2: the smallest answer there is, which amplifies nothing.",
        ("type-04-any", "amp-01"),
    ),
    Choice(
        "AXFR, IXFR, TKEY, TSIG, MAILA and MAILB as types, OPT in a question: REFUSED, NOTIMP or FORMERR.",
        "RFC 5936 4.2 and RFC 6891 6.1.1: none of them is a question that a forwarder can answer.",
        ("type-05-axfr-udp", "type-07-opt-qtype"),
    ),
    Choice(
        "Classes other than IN, ANY among them, are REFUSED; version.bind and id.server tell nothing.",
        "RFC 4892 lets an operator keep them; no list or cache of ours is for another class.",
        ("type-08-class-ch", "type-10-class-any"),
    ),
    Choice(
        "UPDATE, NOTIFY, STATUS, IQUERY and DSO are NOTIMP, over UDP and TCP.",
        "RFC 8906 8.1.2, RFC 8490 5.1: what is not a query is not forwarded.",
        ("hdr-19-opcode-unknown", "hdr-21-update", "hdr-22-iquery-status-dso"),
    ),
    Choice(
        "A query with records in its answer or authority section, or more than two additional ones, is FORMERR.",
        "RFC 8906 lets both be; refusing costs nothing, reading 4,000 records does.",
        ("hdr-15-ancount-in-query",),
    ),
    Choice(
        "What follows a query's last record is passed over, and goes no further.",
        "RFC 5625 4.1: forwarded is what was read, never the bytes that came.",
        ("hdr-14-trailing",),
    ),
    Choice(
        "Cookies are passed over, and none is sent.",
        "RFC 7873 5.2.1 lets a server know no cookies; random ports, IDs and TCP after a guess stand in for them.",
        ("edns-18-cookie",),
    ),
    Choice(
        "Client subnet is neither forwarded nor believed.",
        "RFC 7871 11.1: it tells upstreams who asks, and anybody can write it.",
        ("edns-19-ecs-leak",),
    ),
    Choice(
        "No query goes out in mixed case (0x20).",
        "RFC 5452 asks for entropy: ports and IDs give it, and TCP after a wrong ID; some servers lower the case.",
        ("name-02-upstream-lowercases", "spoof-port-random"),
    ),
    Choice(
        "Answers are not validated; DO, CD and AD go both ways as RFC 6840 says.",
        "RFC 4035 3.2 lets a forwarder leave it to its upstream; put a validating resolver behind dnsnb.",
        ("edns-14-do-order", "edns-15-cd-cache", "edns-16-ad"),
    ),
    Choice(
        "TTLs above a day count as a day, negative ones above three hours as three hours (settings).",
        "RFC 8767 4 and RFC 2308 5 ask for a cap and leave its height open.",
        ("cache-06-ttl-cap", "cache-12-neg-cap"),
    ),
    Choice(
        "A failure is kept for 5 seconds, and is told with EDE 13 from memory; REFUSED from all upstreams is SERVFAIL.",
        "RFC 9520 3.2: 1 second to 5 minutes.",
        ("cache-13-servfail", "cache-14-refused"),
    ),
    Choice(
        "NXDOMAIN is believed for all below the name.",
        "RFC 8020 2; a name that is cut off by mistake is back when the negative TTL ends.",
        ("cache-10-nx-subtree",),
    ),
    Choice(
        "What has ended is served for a day, with TTL 30, when no upstream answers within 1.8 seconds (setting).",
        "RFC 8767 5 recommends both times and one to three days.",
        ("fwd-04-serve-stale",),
    ),
    Choice(
        "test and example are forwarded; all else of the special-use names ends here (reserved.SPECIAL_USE).",
        "RFC 6761 6.2 asks for NXDOMAIN to test; laboratories run on it, and a public resolver says so itself.",
        ("special-localhost", "special-x_home_arpa", "special-printer_local", "special-_dns_resolver_arpa"),
    ),
    Choice(
        "Above its rate an asker over UDP gets an empty answer with TC, over TCP REFUSED.",
        "RFC 7766 3: an address that was forged can't come back over TCP, its owner can.",
        ("rrl-01",),
    ),
    Choice(
        "A connection on which nothing is asked for 10 seconds is closed; told to who asks (edns-tcp-keepalive).",
        "RFC 7766 6.2.3 asks for seconds, RFC 7828 3.4 lets a server say how many.",
        ("tcp-07-idle", "edns-23-keepalive-udp"),
    ),
    Choice(
        "Plain DNS to the TLS port, or too many connections, end the connection without a word.",
        "RFC 7858 3.1: no clear text on that port; RFC 9210 4: the one that was idle longest gives way.",
        ("dot-01-server", "tcp-09-many"),
    ),
)
