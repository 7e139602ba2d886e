"""The table of formats: what can be read, how each is recognised, and which module reads it.

Imports nothing heavy: a reader's module is loaded when a log of its format is opened.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple


class Format(NamedTuple):
    """One log format.

    `kind` says what its module is given: ``"lines"`` (`Reader(context)` with `.parse(block) -> Table | None`),
    ``"bytes"`` (`Reader(context)` with `.begin()` for each file of a set, `.feed(bytes)`, `.flush()` and `.finish()`),
    or ``"path"`` (`read(path, context)` yields tables). `score(head)`, in the same module, says from 0 to 100 how sure
    it is that a file's first bytes are of this format. `untold` is what of a name its writer loses without a trace;
    where a trace is left, the row is marked in the column `lossy`.
    """

    name: str
    title: str
    kind: str
    module: str
    reader: Any = None
    untold: str = ""

    def load(self) -> Any:
        """Return what reads the format: its module, or the object that the row itself carries."""
        return self.reader if self.reader is not None else importlib.import_module(f"dnsnb.formats.{self.module}")


_DOT = "a dot within a label is written like one between labels"
_ESCAPE = f"{_DOT}; what looks like an escape is taken for one"
_ROWS = (
    Format("zeek", "Zeek dns.log, TSV", "lines", "zeek", untold=_DOT),
    Format("zeek-json", "Zeek dns.log, JSON", "lines", "zeek_json", untold=_ESCAPE),
    Format("dnsmasq", "dnsmasq and Pi-hole text log (log-queries, extra, proto)", "lines", "dnsmasq", untold=_DOT),
    Format("pihole-ftl", "Pi-hole FTL database, schema 1 to 21", "path", "pihole_ftl", untold=_DOT),
    Format("adguard", "AdGuard Home query log", "lines", "adguard"),
    Format("bind", "BIND 9 query, response, RPZ, query-error and security logs", "lines", "bind"),
    Format("unbound", "Unbound log-queries, log-replies, log-local-actions, RPZ", "lines", "unbound"),
    Format("coredns", "CoreDNS log plugin", "lines", "coredns"),
    Format("powerdns", "PowerDNS Recursor and authoritative server, text", "lines", "powerdns"),
    Format("powerdns-json", "PowerDNS Recursor structured log, JSON", "lines", "powerdns_json"),
    Format("powerdns-protobuf", "PowerDNS protobuf log of Recursor and dnsdist", "bytes", "powerdns_protobuf"),
    Format("dnsdist", "dnsdist LogAction and LogResponseAction", "lines", "dnsdist"),
    Format("suricata", "Suricata EVE, DNS events of versions 1 to 3", "lines", "suricata", untold=_ESCAPE),
    Format("dnstap", "dnstap in Frame Streams", "bytes", "dnstap"),
    Format("pcap", "packet captures: PCAP and PCAPNG", "bytes", "pcap"),
    Format("technitium", "Technitium DNS Server, text log", "lines", "technitium"),
    Format("technitium-json", "Technitium Log Exporter, JSON", "lines", "technitium_json"),
    Format("technitium-db", "Technitium Query Logs app, SQLite", "path", "technitium_db"),
    Format("blocky", "blocky query log, CSV", "lines", "blocky"),
    Format("blocky-console", "blocky query log on the console, text or JSON", "lines", "blocky_console"),
    Format("blocky-db", "blocky query log, SQLite", "path", "blocky_db"),
    Format("nextdns", "NextDNS download, CSV", "lines", "nextdns"),
    Format("nextdns-json", "NextDNS API logs, JSON", "lines", "nextdns_json"),
    Format("windows", "Windows DNS Server debug log", "lines", "windows"),
    Format("route53", "Amazon Route 53 Resolver query log", "lines", "route53"),
    Format("route53-zone", "Amazon Route 53 public hosted zone query log", "lines", "route53_zone"),
    Format("cloudflare", "Cloudflare Logpush dns_logs, dns_firewall_logs and gateway_dns", "lines", "cloudflare"),
    Format("umbrella", "Cisco Umbrella DNS log, CSV", "lines", "umbrella"),
    Format("infoblox", "Infoblox and EfficientIP query and answer logs", "lines", "infoblox"),
    Format("passivedns", "gamelinux passivedns", "lines", "passivedns"),
    Format("cof", "Passive DNS Common Output Format", "lines", "cof"),
    Format("dnscollector", "DNS-collector text", "lines", "dnscollector"),
    Format("dnscollector-json", "DNS-collector JSON, nested or flat", "lines", "dnscollector_json"),
    Format("dnsnb-jsonl", "dnsnb's own rows as JSON lines", "lines", "own_json"),
    Format("dnsnb-sqlite", "dnsnb's own query log in SQLite", "path", "own_sqlite"),
    Format("dnsnb-parquet", "dnsnb's own Parquet", "path", "own_parquet"),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
"""Every format by name. Add a row to read a log of your own."""
