"""Where the query log, the cache and edits of the lists are kept. Never on the query path; called in worker threads.

Knows dns's types and the schema. `DRIVERS` is the table of what there is; entry points add to it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dnsnb.errors import SettingError

if TYPE_CHECKING:
    from dnsnb.drivers.protocols import CacheDriver, ListDriver, LogDriver

KINDS = ("log", "list", "cache")


class Drivers(NamedTuple):
    """The three that a server uses."""

    log: LogDriver
    lists: ListDriver
    cache: CacheDriver

    def close(self) -> None:
        """Close all three."""
        for driver in self:
            driver.close()


def _console_log(settings: Any) -> LogDriver:
    from dnsnb.drivers.console_log import ConsoleLog

    return ConsoleLog()


def _memory_log(settings: Any) -> LogDriver:
    from dnsnb.drivers.memory import MemoryLog

    return MemoryLog(settings.log_rows)


def _file_log(settings: Any) -> LogDriver:
    from dnsnb.drivers.file_log import FileLog

    return FileLog(_folder(settings, "log_driver", "file") / "log", settings.log_bytes)


def _sqlite_log(settings: Any) -> LogDriver:
    from dnsnb.drivers.sqlite_log import SqliteLog

    return SqliteLog(_folder(settings, "log_driver", "sqlite") / "log.sqlite", settings.log_bytes)


def _parquet_log(settings: Any) -> LogDriver:
    from dnsnb.drivers.parquet_log import ParquetLog

    return ParquetLog(_folder(settings, "log_driver", "parquet") / "parquet", settings.log_bytes)


def _memory_lists(settings: Any) -> ListDriver:
    from dnsnb.drivers.memory import MemoryLists

    return MemoryLists()


def _file_lists(settings: Any) -> ListDriver:
    from dnsnb.drivers.file_lists import FileLists

    return FileLists(_folder(settings, "list_driver", "file") / "lists")


def _sqlite_lists(settings: Any) -> ListDriver:
    from dnsnb.drivers.sqlite_lists import SqliteLists

    return SqliteLists(_folder(settings, "list_driver", "sqlite") / "lists.sqlite")


def _memory_cache(settings: Any) -> CacheDriver:
    from dnsnb.drivers.memory import MemoryCache

    return MemoryCache()


def _file_cache(settings: Any) -> CacheDriver:
    from dnsnb.drivers.lasting_cache import FileCache

    return FileCache(_folder(settings, "cache_driver", "file") / "cache.jsonl")


def _sqlite_cache(settings: Any) -> CacheDriver:
    from dnsnb.drivers.lasting_cache import SqliteCache

    return SqliteCache(_folder(settings, "cache_driver", "sqlite") / "cache.sqlite")


#: kind -> name -> what makes one of the settings
DRIVERS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "log": {
        "memory": _memory_log,
        "console": _console_log,
        "file": _file_log,
        "sqlite": _sqlite_log,
        "parquet": _parquet_log,
    },
    "list": {"memory": _memory_lists, "file": _file_lists, "sqlite": _sqlite_lists},
    "cache": {"memory": _memory_cache, "file": _file_cache, "sqlite": _sqlite_cache},
}


def known_drivers(kind: str) -> dict[str, Callable[[Any], Any]]:
    """Return the drivers of a kind by name: ours, and those of installed packages.

    A package adds one by an entry point of the group ``dnsnb.drivers.log`` (``.list``, ``.cache``): a function that
    takes the settings and returns an object of the protocol. Ours can't be replaced by it.
    """
    from importlib.metadata import entry_points

    found = {point.name: _loading(point) for point in entry_points(group=f"dnsnb.drivers.{kind}")}
    return found | DRIVERS[kind]


def _loading(point: Any) -> Callable[[Any], Any]:
    def make(settings: Any) -> Any:
        return point.load()(settings)

    return make


def make_driver(kind: str, settings: Any, name: str | None = None) -> Any:
    """Return one opened driver of a kind ("log", "list", "cache"); raises SettingError naming those there are."""
    setting = f"{kind}_driver"
    wanted = name if name is not None else getattr(settings, setting)
    known = known_drivers(kind)
    maker = known.get(wanted)
    if maker is None:
        raise SettingError(setting, wanted, f"no such driver; there are {', '.join(known)}")
    try:
        return maker(settings)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise SettingError(setting, wanted, f"can't be opened:{where} {error.strerror or error}") from error


def open_drivers(settings: Any) -> Drivers:
    """Return the opened drivers that the settings name; raises SettingError, and then has left none open."""
    opened: list[Any] = []
    try:
        for kind in KINDS:
            opened.append(make_driver(kind, settings))  # noqa: PERF401 - those before a failing one are closed
    except BaseException:
        for driver in opened:
            driver.close()
        raise
    return Drivers(*opened)


def _folder(settings: Any, setting: str, name: str) -> Path:
    if settings.folder is None:
        raise SettingError(setting, name, "needs a folder to write to; give the setting folder")
    return Path(settings.folder)
