"""What a name says by itself as columns of a converted log, reckoned once for each distinct name: see dnsnb.names."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from dnsnb import names

FIELDS = (
    pa.field("etld1", pa.dictionary(pa.int32(), pa.string())),
    pa.field("name_length", pa.int16()),
    pa.field("name_labels", pa.int16()),
    pa.field("name_entropy", pa.float32()),
)

_ESCAPED = r"\\(?:[0-9]{3}|.)"  # as RFC 4343 writes what is no plain letter: \032, \.


def with_features(table: pa.Table) -> pa.Table:
    """Return a table with columns of its `qname`: `etld1` (the registered domain), `name_length` (octets as the name is
    written with dots, an escaped one counted once), `name_labels` and `name_entropy` (bits a character)."""
    coded = table.column("qname").combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    distinct = coded.dictionary
    root = pc.equal(distinct, ".")
    octets = pc.replace_substring_regex(distinct, _ESCAPED, "_")  # an escaped dot parts no labels
    length = pc.if_else(root, 0, pc.binary_length(octets)).cast(pa.int16())
    labels = pc.if_else(root, 0, pc.add(pc.count_substring(octets, "."), 1)).cast(pa.int16())
    bits = pa.array(names.entropy(distinct).astype("float32"))
    domains = pa.array(names.registered_domain(distinct.to_pylist()), pa.string())
    table = table.append_column(FIELDS[0], domains.take(coded.indices).dictionary_encode())
    for field, values in zip(FIELDS[1:], (length, labels, bits), strict=True):
        table = table.append_column(field, values.take(coded.indices))
    return table
