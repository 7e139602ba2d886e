"""Rows from DNS messages with their envelopes: what dnstap, captures and Frame Streams sockets have in common.

Pure; knows messages and columns. A message is a query or a response by its QR bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnsnb.dns import wire
from dnsnb.formats import columns, messages
from dnsnb.formats.columns import KIND, QUERY, RESPONSE
from dnsnb.formats.join import Joiner

KEYS = ("side", "client", "client_port", "server", "transport", "dns_id", "qname", "qtype")


def joiner() -> Joiner:
    """Return what pairs queries and responses of the same client, server, ID and question."""
    return Joiner(KEYS, 20.0, by_time=True)


def rows(
    data: bytes, starts: Any, ends: Any, envelope: dict[str, Any], *, records: bool = True
) -> tuple[pa.Table | None, Any]:
    """Return events for messages that lie in `data`, and which of them could be read at all.

    `envelope` holds a column each (time in µs, client, client_port, server, transport, side, id …), sorted out by
    the caller so that `client` is who asked, whichever way a message went; `size` where a message was longer than
    what there is of it.
    """
    found = messages.decode(data, starts, ends, records=records)
    good = found.good
    if not good.any():
        return None, good
    response = found.flags & 0x8000 != 0
    sizes = envelope.pop("size", ends - starts)
    raw: dict[str, Any] = {
        **envelope,
        "qname": found.qname,
        "qtype": messages.coded(found.qtype, wire.qtype_text),
        "qclass": messages.coded(np.where(found.qclass >= 0, found.qclass & 0x7FFF, -1), wire.qclass_text),
        "dns_id": found.id,
        "rcode": messages.coded(np.where(response, found.rcode, -1), wire.rcode_text),
        "answers": found.answers,
        "ttl": np.where(response, found.ttl, -1),
        "ede": np.where(response, found.ede, -1),
        "flags": _where(response, messages.flags_text(found.flags)),
        "query_flags": _where(~response, messages.flags_text(found.flags, found.dnssec_ok)),
        "query_bytes": np.where(response, -1, sizes),
        "response_bytes": np.where(response, sizes, -1),
        "status": _where(
            response & np.isin(found.rcode, (2, 5)), pc.if_else(pa.array(found.rcode == 2), "failed", "refused")
        ),
        "event": pc.if_else(pa.array(response), "response", "query"),
    }
    if found.ecs is not None:
        raw["ecs"] = found.ecs
    began = raw.pop("began", None)
    table = columns.build(raw, len(starts))
    if began is not None:
        table = table.append_column("began", columns.stamps(began))
    table = table.append_column(KIND, pa.array(np.where(response, RESPONSE, QUERY), pa.int8()))
    return table if good.all() else table.filter(pa.array(good)), good


def _where(mask: Any, values: Any) -> Any:
    coded = columns._coded(values)
    keep = pa.array(np.where(mask, coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), -1), pa.int32())
    return pa.DictionaryArray.from_arrays(pc.if_else(pc.less(keep, 0), None, keep), coded.dictionary)


def addresses(raw: Any) -> pa.DictionaryArray:
    """Return packed addresses (4 or 16 octets) as text, each distinct one spelled once; others are null."""
    coded = (raw if isinstance(raw, pa.Array) else pa.array(raw, pa.binary())).dictionary_encode()
    return columns.mapped(
        pa.DictionaryArray.from_arrays(
            coded.indices, pa.array([packed(v) for v in coded.dictionary.to_pylist()], pa.string())
        ),
        str,
    )


def packed(octets: bytes) -> str | None:
    """Return a packed address as text."""
    import ipaddress

    if len(octets) not in (4, 16):
        return None
    found = ipaddress.ip_address(octets)
    return str(getattr(found, "ipv4_mapped", None) or found)
