"""What can be said of a name by its letters alone, reckoned once for each distinct name: length, labels, entropy.

Pure; numpy over all names at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

FIELDS = (
    pa.field("name_length", pa.int16()),
    pa.field("name_labels", pa.int16()),
    pa.field("name_entropy", pa.float32()),
)


def with_features(table: pa.Table) -> pa.Table:
    """Return a table with `name_length` (octets), `name_labels` and `name_entropy` (bits a character) of its
    `qname`."""
    coded = table.column("qname").combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    names = coded.dictionary
    root = pc.equal(names, ".")
    length = pc.if_else(root, 0, pc.binary_length(names)).cast(pa.int16())
    labels = pc.if_else(root, 0, pc.add(pc.count_substring(names, "."), 1)).cast(pa.int16())
    for field, values in zip(FIELDS, (length, labels, entropy(names)), strict=True):
        table = table.append_column(field, values.take(coded.indices))
    return table


def entropy(names: pa.Array) -> pa.Array:
    """Return Shannon's entropy of each text's octets, dots left out, in bits a character (0.0 for an empty one)."""
    flat = pc.replace_substring(names.fill_null(""), ".", "")
    count = len(flat)
    offsets = np.frombuffer(flat.buffers()[1], np.int32)[flat.offset : flat.offset + count + 1].astype(np.int64)
    raw = flat.buffers()[2]
    if raw is None or not count:
        return pa.array(np.zeros(count, np.float32))
    octets: Any = np.frombuffer(raw, np.uint8)[offsets[0] : offsets[-1]]
    lengths = np.diff(offsets)
    rows = np.repeat(np.arange(count), lengths)
    keys, counts = np.unique(rows * 256 + octets, return_counts=True)
    share = counts / lengths[keys >> 8]
    bits = np.bincount(keys >> 8, weights=-share * np.log2(share), minlength=count)
    return pa.array(np.maximum(bits, 0).astype(np.float32))
