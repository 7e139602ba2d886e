"""Where the query log, the cache and edits of the lists are kept. Never on the query path; called in worker threads.

Knows dns's types and the schema. `DRIVERS` is the table of what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from dnsnb.errors import SettingError

if TYPE_CHECKING:
    from dnsnb.drivers.protocols import CacheDriver, ListDriver, LogDriver


class Drivers(NamedTuple):
    """The three that a server uses."""

    log: LogDriver
    lists: ListDriver
    cache: CacheDriver

    def close(self) -> None:
        """Close all three."""
        for driver in self:
            driver.close()


def _memory_log(settings: Any) -> LogDriver:
    from dnsnb.drivers.memory import MemoryLog

    return MemoryLog(settings.log_rows)


def _memory_lists(settings: Any) -> ListDriver:
    from dnsnb.drivers.memory import MemoryLists

    return MemoryLists()


def _memory_cache(settings: Any) -> CacheDriver:
    from dnsnb.drivers.memory import MemoryCache

    return MemoryCache()


#: kind -> name -> what makes one of the settings
DRIVERS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "log": {"memory": _memory_log},
    "list": {"memory": _memory_lists},
    "cache": {"memory": _memory_cache},
}


def make_driver(kind: str, settings: Any, name: str | None = None) -> Any:
    """Return one opened driver of a kind ("log", "list", "cache"); raises SettingError naming those there are."""
    setting = f"{kind}_driver"
    wanted = name if name is not None else getattr(settings, setting)
    maker = DRIVERS[kind].get(wanted)
    if maker is None:
        raise SettingError(setting, wanted, f"no such driver; there are {', '.join(DRIVERS[kind])}")
    return maker(settings)


def open_drivers(settings: Any) -> Drivers:
    """Return the opened drivers that the settings name; raises SettingError."""
    return Drivers(make_driver("log", settings), make_driver("list", settings), make_driver("cache", settings))
