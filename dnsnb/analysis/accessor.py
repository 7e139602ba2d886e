"""`frame.dns`: the analyses as methods of any frame with our columns. Importing this registers it with pandas."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pandas as pd

from dnsnb import analysis

_METHODS = (*analysis.OF_A_FRAME, *analysis.GIVE_A_FRAME)


class DnsAccessor:
    """What DNS analysts ask of a frame: the functions of `dnsnb.analysis`, with the frame filled in."""

    def __init__(self, frame: pd.DataFrame) -> None:
        if "qname" not in frame.columns:
            # pandas turns an AttributeError into "no such accessor", with our words
            have = ", ".join(map(str, frame.columns))
            raise AttributeError(f"frame.dns needs the column 'qname'; this frame has {have}")
        self._frame = frame

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in _METHODS:
            raise AttributeError(f"frame.dns has no analysis {name!r}; {analysis.meant(name)}")
        function = getattr(analysis, name)
        return wraps(function)(partial(function, self._frame))

    def __dir__(self) -> list[str]:
        return sorted(_METHODS)

    def __repr__(self) -> str:
        return f"<frame.dns of {len(self._frame):,} rows: {', '.join(_METHODS)}>"


if not isinstance(getattr(pd.DataFrame, "dns", None), type):  # reloading must not warn of an override
    pd.api.extensions.register_dataframe_accessor("dns")(DnsAccessor)
