"""A small made-up internet, the same for the same seed: which names exist, and what they answer.

Decides bytes only; `upstream` does the sockets. May import dnslib: nothing here is on a server's query path.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

import dnslib
from dnslib import EDNS0, QTYPE, RCODE, RR

from dnsnb.simulate.script import Reply, scripted

#: Domains of the made-up advertisers and trackers: a block list for demos.
ADS: tuple[str, ...] = (
    "adgrid.example",
    "bannerloom.example",
    "clickmeter.example",
    "pixelbarn.example",
    "promofeed.example",
    "tagrelay.example",
    "trackwell.example",
    "viewcount.example",
)

#: The far ends of what the generator hides in its traffic.
BEACON = "status.quiet-harbor.example"
TUNNEL = "t.deep-current.example"

_FIRST = """
amber birch bright cedar clear coral crisp dawn early fern field fresh glass green harbor hazel high iron ivory juniper
kind lake light lime long maple meadow mild moss north oak olive open pine plain quick quiet rain red river salt silver
slow south spring stone summer sun swift true vale warm west white wild willow wind winter wood
"""
_SECOND = """
atlas bakery bank books cycle desk docs farm film forum games garden gear gym health house journal kitchen lab library
mail maps market metro music news notes outdoor park photo player post press radio recipes school science shop space
sport stack stage store studio supply talk tech times tools trail travel tv video weather wiki works
"""
_ODD = frozenset(
    {
        "quiet-harbor.example",
        "deep-current.example",
        "vendor-cloud.example",
        "timekeeper.example",
        "edge-lattice.example",
    }
)


class World:
    """A seeded set of domains with deterministic answers.

    `sites` are the ordinary domains, most popular first. Names below ``.example`` exist when their domain does; every
    other name gets an address in the documentation ranges (RFC 5737, RFC 3849): whatever a person types is answered.
    """

    def __init__(self, seed: int = 1, sites: int = 400) -> None:
        rng = random.Random(seed)
        pairs = [f"{a}-{b}.example" for a in _FIRST.split() for b in _SECOND.split()]
        self.seed = seed
        self.sites: tuple[str, ...] = tuple(rng.sample(pairs, sites))
        self._known = frozenset(self.sites) | frozenset(ADS) | _ODD
        self._replies: dict[tuple[str, int, bool], Reply] = {}

    def exists(self, qname: str) -> bool:
        """Tell whether a name (text, lower case, no final dot) belongs to somebody."""
        labels = qname.split(".")
        return labels[-1] != "example" or ".".join(labels[-2:]) in self._known

    def ttl(self, qname: str) -> int:
        """Return the seconds for which the answers of a name (text, lower case, no final dot) may be kept."""
        return (30, 60, 120, 300, 600, 3600)[_digest(qname)[0] % 6]

    def reply(self, wire: bytes, *, stream: bool = False) -> Reply:
        """Return the answer to a query message, with the delay in ms that its name asks for.

        `stream` says that it came over TCP, where nothing is cut. A message that is no query gets no answer.
        """
        try:
            query = dnslib.DNSRecord.parse(wire)
        except Exception:  # dnslib raises several kinds for hostile bytes
            return Reply(None, 0.0)
        if query.header.qr or len(query.questions) != 1:
            return Reply(None, 0.0)
        name = str(query.q.qname).rstrip(".").lower()
        reply = query.reply(ra=1, aa=0)
        reply.header.ad = 0  # nothing here is signed
        delay_ms, truncate, drop = scripted(self.fill, name, query.q.qtype, reply)
        if drop:
            return Reply(None, 0.0)
        size = 512
        for extra in query.ar:
            if extra.rtype == QTYPE.OPT:
                size = max(512, int(extra.rclass))
                reply.add_ar(EDNS0(udp_len=1232, flags="do" if extra.ttl & 0x8000 else ""))
        packed = bytes(reply.pack())
        if not stream and (truncate or len(packed) > size):
            cut = query.reply(ra=1, aa=0)
            cut.header.tc = 1
            packed = bytes(cut.pack())
        return Reply(packed, delay_ms)

    def fill(self, name: str, qtype: int, reply: Any) -> None:
        """Add to a reply what this world knows of a name."""
        if not self.exists(name):
            reply.header.rcode = RCODE.NXDOMAIN
            reply.add_auth(_soa(name, 60))
            return
        owner, labels = name, name.split(".")
        domain = ".".join(labels[-2:])
        digest = _digest(name)
        ttl = self.ttl(name)
        if domain in self.sites and qtype in {QTYPE.A, QTYPE.AAAA, QTYPE.HTTPS}:
            # content networks and cloaked trackers stand behind a CNAME, as they do outside
            target = {"cdn": f"{labels[-2]}.edge-lattice.example", "metrics": "collect.trackwell.example"}.get(
                labels[0]
            )
            if target is not None:
                reply.add_answer(RR(owner, QTYPE.CNAME, ttl=ttl, rdata=dnslib.CNAME(target)))
                owner, digest = target, _digest(target)
        if qtype == QTYPE.A:
            for n in range(1 + digest[1] % 2):
                net = ("192.0.2", "198.51.100", "203.0.113")[digest[2] % 3]
                reply.add_answer(RR(owner, QTYPE.A, ttl=ttl, rdata=dnslib.A(f"{net}.{1 + (digest[3] + n) % 254}")))
        elif qtype == QTYPE.AAAA and digest[4] % 4:
            tail = f"{digest[5]:x}:{digest[6]:x}::{digest[7] + 1:x}"
            reply.add_answer(RR(owner, QTYPE.AAAA, ttl=ttl, rdata=dnslib.AAAA(f"2001:db8:{tail}")))
        elif qtype == QTYPE.HTTPS and digest[8] % 3 == 0:
            reply.add_answer(RR(owner, QTYPE.HTTPS, ttl=ttl, rdata=dnslib.HTTPS.fromZone(["1", ".", "alpn=h2"])))
        elif qtype == QTYPE.MX and len(labels) == 2:
            reply.add_answer(RR(owner, QTYPE.MX, ttl=ttl, rdata=dnslib.MX(f"mail.{domain}", 10)))
        elif qtype == QTYPE.TXT:
            text = digest.hex() if domain == "deep-current.example" else "v=spf1 -all"
            reply.add_answer(
                RR(owner, QTYPE.TXT, ttl=0 if domain == "deep-current.example" else ttl, rdata=dnslib.TXT(text))
            )
        elif qtype == QTYPE.NS and len(labels) == 2:
            for n in (1, 2):
                reply.add_answer(RR(owner, QTYPE.NS, ttl=3600, rdata=dnslib.NS(f"ns{n}.{domain}")))
        if not reply.rr or (len(reply.rr) == 1 and reply.rr[0].rtype == QTYPE.CNAME != qtype):
            reply.add_auth(_soa(owner, 60))


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def _soa(name: str, minimum: int) -> RR:
    zone = ".".join(name.split(".")[-2:]) or "."
    times = (1, 3600, 600, 86400, minimum)
    return RR(zone, QTYPE.SOA, ttl=minimum, rdata=dnslib.SOA(f"ns1.{zone}", f"hostmaster.{zone}", times))
