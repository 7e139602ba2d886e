"""`frame.dns`: the analyses as methods of any frame with our columns. Importing this registers it with pandas."""

from __future__ import annotations

import pandas as pd

from dnsnb.analysis import traffic


class DnsAccessor:
    """What DNS analysts ask of a frame; the functions of `dnsnb.analysis`, with the frame filled in."""

    def __init__(self, frame: pd.DataFrame) -> None:
        if "qname" not in frame.columns:
            # pandas turns an AttributeError into "no such accessor", with our words
            raise AttributeError(
                f"frame.dns needs the column 'qname'; this frame has {', '.join(map(str, frame.columns))}"
            )
        self._frame = frame

    def top(self, column: str = "qname", n: int = 10) -> pd.DataFrame:
        """The most frequent values of a column; see `dnsnb.analysis.top`."""
        return traffic.top(self._frame, column, n)

    def rate(self, every: str = "1min", by: str | None = None) -> pd.DataFrame:
        """Queries in each window of time; see `dnsnb.analysis.rate`."""
        return traffic.rate(self._frame, every, by)

    def rcodes(self) -> pd.DataFrame:
        """The mix of answers; see `dnsnb.analysis.rcodes`."""
        return traffic.rcodes(self._frame)


if not isinstance(getattr(pd.DataFrame, "dns", None), type):  # reloading must not warn of an override
    pd.api.extensions.register_dataframe_accessor("dns")(DnsAccessor)
