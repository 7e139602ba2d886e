"""The server's kept log as a frame: page by page through the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dnsnb import schema
from dnsnb.client.client import Client

if TYPE_CHECKING:
    import pandas as pd

PAGE = 10_000


def read_log_pages(client: Client, limit: int, filters: dict[str, Any]) -> pd.DataFrame:
    """Return the newest `limit` rows of the server's log that pass the filters, oldest first."""
    import pyarrow as pa

    parts: list[Any] = []
    before: int | None = None
    while limit > 0:
        page = client.log(limit=min(limit, PAGE), before=before, **filters)
        columns = page["columns"]
        if columns:
            parts.append(schema.to_arrow(columns))
            limit -= len(columns["id"])
        before = page["next"]
        if before is None:
            break
    return schema.to_frame(pa.concat_tables(reversed(parts))) if parts else schema.empty_frame()
