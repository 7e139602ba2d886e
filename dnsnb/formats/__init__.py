"""Any DNS log becomes the same frame: `read_log`, `scan_log`, `follow`, and the table of formats.

Loads nothing heavy until a log is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dnsnb.formats.table import FORMATS, Format

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "Format", "read_log"]


def read_log(
    source: Any,
    format: str = "auto",
    tz: Any = None,
    year: int | None = None,
    errors: str = "report",
    rows: str = "queries",
    template: str | None = None,
) -> pd.DataFrame:
    """Return any DNS log as the frame of `session.frame`, one row a query.

    `source` is a path, a glob, a folder, an open binary stream, bytes, or a list of these; .gz, .bz2, .xz and .zst are
    opened, rotated sets are read in their true order. `tz` is the zone of times that name none (an IANA name; None:
    this machine's), `year` the year of the first line where the log leaves years out (None: inferred from the file's
    time). `errors="raise"` refuses a log with a line that can't be read; ``"report"`` leaves it out and says so.
    `rows="events"` gives the lines as they are, queries and answers not joined. `template` is the log format that
    CoreDNS or DNS-collector was configured with.

    `frame.attrs["import"]` is the `ImportReport`: what was read, left out and assumed. Raises LogFormatError when the
    file is not a DNS log we know, FileNotFoundError, or SettingError for a wrong setting.
    """
    from dnsnb.formats import reading

    return reading.read_log(source, format=format, tz=tz, year=year, errors=errors, rows=rows, template=template)
