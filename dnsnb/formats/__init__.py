"""Any DNS log becomes the same frame: `read_log`, `scan_log`, `follow`, and the table of formats.

Loads nothing heavy until a log is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dnsnb.formats.table import FORMATS, Format

if TYPE_CHECKING:
    import pandas as pd

    from dnsnb.formats.dnstap_listener import DnstapListener
    from dnsnb.formats.following import Follower

__all__ = ["FORMATS", "Format", "follow", "listen", "read_log", "scan_log"]


def read_log(
    source: Any,
    format: str = "auto",  # noqa: A002 - the word that everyone uses
    tz: Any = None,
    year: int | None = None,
    errors: str = "report",
    rows: str = "queries",
    template: str | None = None,
    *,
    progress: bool = True,
) -> pd.DataFrame:
    """Return any DNS log as the frame of `session.frame`, one row a query.

    `source` is a path, a glob, a folder, an open binary stream, bytes, or a list of these; .gz, .bz2, .xz and .zst are
    opened, rotated sets are read in their true order. `tz` is the zone of times that name none (an IANA name; None:
    this machine's), `year` the year of the first line where the log leaves years out (None: inferred from the file's
    time). `errors="raise"` refuses a log with a line that can't be read; ``"report"`` leaves it out and says so.
    `rows="events"` gives the lines as they are, queries and answers not joined. `template` is the log format that
    CoreDNS or DNS-collector was configured with. A bar shows how far it is once that takes longer than two seconds
    (`progress=False`: none; it needs tqdm, which ``dnsnb[scan]`` brings).

    `frame.attrs["import"]` is the `ImportReport`: what was read, left out and assumed. Raises LogFormatError when the
    file is not a DNS log we know, FileNotFoundError, or SettingError for a wrong setting.

    >>> log = (
    ...     b"Mar  2 10:00:01 dnsmasq[7]: query[A] example.com from 192.0.2.7\\n"
    ...     b"Mar  2 10:00:01 dnsmasq[7]: cached example.com is 203.0.113.9\\n"
    ... )
    >>> frame = read_log(log, tz="UTC", year=2026)
    >>> frame[["client", "qname", "qtype", "status"]].values.tolist()
    [['192.0.2.7', 'example.com', 'A', 'cached']]
    >>> frame.attrs["import"]["rows"]
    1
    """
    from dnsnb.formats import reading

    settings = {"format": format, "tz": tz, "year": year, "errors": errors, "rows": rows, "template": template}
    return reading.read_log(source, progress=progress, **settings)


def scan_log(
    source: Any,
    format: str = "auto",  # noqa: A002 - as above
    tz: Any = None,
    year: int | None = None,
    errors: str = "report",
    rows: str = "queries",
    template: str | None = None,
    *,
    cache: Any = None,
    progress: bool = True,
    memory_limit: str = "1GB",
    report: Any = None,
) -> Any:
    """Return any DNS log, also one larger than memory, as a lazy DuckDB relation with the columns of `read_log`.

    Parquet is read where it lies. Anything else is converted once, in a stream, to Parquet in the folder `cache`
    (default: the user's cache), with `etld1`, `name_length`, `name_labels` and `name_entropy` of each name; a bar shows
    how far it is. `memory_limit` is DuckDB's; beyond it, it spills. `report` may be an `ImportReport` to be filled.
    The other settings are as for `read_log`.

    Needs the extra: ``pip install 'dnsnb[scan]'``; raises DnsnbError without it, else what `read_log` raises.

    >>> import tempfile, dnsnb
    >>> folder = tempfile.TemporaryDirectory()
    >>> dnsnb.simulate.frame(hours=0.1).to_parquet(f"{folder.name}/day.parquet")
    >>> lazy = scan_log(f"{folder.name}/*.parquet")
    >>> dnsnb.analysis.top(lazy, "status", n=1)["status"].tolist()
    ['forwarded']
    >>> folder.cleanup()
    """
    from dnsnb.formats import scan

    settings = {"format": format, "tz": tz, "year": year, "errors": errors, "rows": rows, "template": template}
    return scan.scan_log(source, cache=cache, progress=progress, memory_limit=memory_limit, report=report, **settings)


def follow(path: Any, sink: Any = None, *, start: str = "end", interval_s: float = 0.2, **settings: Any) -> Follower:
    """Follow a log that another system is writing, through rotation and truncation, until `.close()`.

    Rows go to `sink` (an object with `extend(columns)`, such as a LiveFrame, or a function of columns) and to
    `.frame`, the newest million. `start` is ``"end"`` or ``"beginning"``. Further settings are as for `read_log`, and
    so is what it raises.

    >>> import tempfile, threading
    >>> log, arrived = tempfile.NamedTemporaryFile("w", suffix=".log"), threading.Event()
    >>> follower = follow(log.name, lambda columns: arrived.set(), start="beginning", format="unbound")
    >>> log.write("[1772445601] unbound[10:0] info: 192.0.2.7 example.com. A IN NOERROR 0.021 0 64\\n") and log.flush()
    >>> arrived.wait(10), follower.frame["qname"].tolist()
    (True, ['example.com'])
    >>> follower.close(), log.close()
    (None, None)
    """
    from dnsnb.formats.following import Follower

    return Follower(path, sink, start=start, interval_s=interval_s, **settings)


def listen(address: str, sink: Any = None) -> DnstapListener:
    """Receive dnstap from unbound, BIND, dnsdist, CoreDNS … on ``"unix:/path"`` or ``"host:port"``, until `.close()`.

    Rows go to `sink` and `.frame` as with `follow`. Raises SettingError when it can't listen there.

    >>> with listen("127.0.0.1:0") as receiver:  # a free port; unbound: dnstap-ip: "127.0.0.1@PORT"
    ...     receiver.address.startswith("127.0.0.1:"), len(receiver.frame)
    (True, 0)
    """
    from dnsnb.formats.dnstap_listener import DnstapListener

    return DnstapListener(address, sink)
