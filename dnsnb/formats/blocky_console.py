"""blocky's query log on the console: its text form and its JSON, without the fields that are empty or 0.

Knows blocky's reasons. Times are local in the text.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from dnsnb.formats.blocky import described
from dnsnb.formats.feeding import Context
from dnsnb.formats.lines import Block
from dnsnb.formats.rowtables import Row, table
from dnsnb.formats.sniff import Head

_KEYS = (
    "answer", "client_ip", "client_names", "duration_ms", "instance", "question_name", "question_type",
    "response_code", "response_reason", "response_type",
)  # fmt: skip
# a value may hold blanks: it ends where the next key begins
_TEXT = re.compile(
    r"^(?:\[(?P<time>\d{4}-\d\d-\d\d[^\]]*)\])? *(?:INFO +)?queryLog: query resolved"
    + "".join(rf"(?: +{key}=(?P<{key}>.*?))?" for key in _KEYS)
    + r" *$"
)


def score(head: Head) -> int:
    """Its sentence, or its keys."""
    if head.share(r"queryLog: query resolved .*question_name=") > 0.1:
        return 96
    return 96 if any(i.get("msg") == "query resolved" and "question_name" in i for i in head.items) else 0


class Reader:
    """Parses blocks of one log."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def parse(self, block: Block) -> pa.Table | None:
        """Return the events of a block."""
        rows: list[Row] = []
        kept: list[int] = []
        bad = np.zeros(len(block), bool)
        for i, (number, line) in enumerate(zip(block.numbers.tolist(), block.lines().to_pylist(), strict=True)):
            fields = _fields(line or "")
            if not fields.get("question_name"):
                bad[i] = True
                continue
            get = {key: str(fields.get(key) or "") for key in _KEYS}
            rows.append(
                described(
                    fields.get("time"), get["client_ip"], get["client_names"], get["duration_ms"] or "0",
                    get["response_reason"], get["question_name"], get["answer"], get["response_code"] or None,
                    get["response_type"], get["question_type"],
                )
            )  # fmt: skip
            kept.append(number)
        self.context.skip("says nothing about a query", block, bad)
        return table(rows, kept, self.context, block)


def _fields(line: str) -> dict[str, Any]:
    if line.startswith("{"):
        try:
            item = orjson.loads(line)
        except orjson.JSONDecodeError:
            return {}
        return item if isinstance(item, dict) and item.get("msg") == "query resolved" else {}
    match = _TEXT.match(line)
    return match.groupdict() if match else {}
