"""The table of formats: what can be read, how each is recognised, and which module reads it.

Imports nothing heavy: a reader's module is loaded when a log of its format is opened.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple


class Format(NamedTuple):
    """One log format.

    `kind` says what its module is given: ``"lines"`` (`Reader(context)` with `.parse(block) -> Table | None`), ``"bytes"``
    (`Reader(context)` with `.feed(bytes)` and `.finish()`), or ``"path"`` (`read(path, context)` yields tables). `score(head)`, in the same
    module, says from 0 to 100 how sure it is that a file's first bytes are of this format.
    """

    name: str
    title: str
    kind: str
    module: str
    reader: Any = None

    def load(self) -> Any:
        """Return what reads the format: its module, or the object that the row itself carries."""
        return self.reader if self.reader is not None else importlib.import_module(f"dnsnb.formats.{self.module}")


_ROWS = (
    Format("zeek", "Zeek dns.log, TSV", "lines", "zeek"),
    Format("zeek-json", "Zeek dns.log, JSON", "lines", "zeek_json"),
    Format("dnsmasq", "dnsmasq and Pi-hole text log (log-queries, extra, proto)", "lines", "dnsmasq"),
    Format("pihole-ftl", "Pi-hole FTL database, schema 1 to 21", "path", "pihole_ftl"),
    Format("adguard", "AdGuard Home query log", "lines", "adguard"),
    Format("bind", "BIND 9 query, response, RPZ, query-error and security logs", "lines", "bind"),
    Format("unbound", "Unbound log-queries, log-replies, log-local-actions, RPZ", "lines", "unbound"),
    Format("dnstap", "dnstap in Frame Streams", "bytes", "dnstap"),
    Format("pcap", "packet captures: PCAP and PCAPNG", "bytes", "pcap"),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
"""Every format by name. Add a row to read a log of your own."""
