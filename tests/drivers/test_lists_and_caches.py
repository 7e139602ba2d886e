"""One contract for every list driver, one for every cache driver; and drivers of other packages."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnsnb import drivers
from dnsnb.drivers.file_lists import FileLists
from dnsnb.drivers.lasting_cache import FileCache, SqliteCache
from dnsnb.drivers.memory import MemoryCache, MemoryLists
from dnsnb.drivers.sqlite_lists import SqliteLists
from dnsnb.errors import SettingError

LISTS: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: MemoryLists(),
    "file": lambda folder: FileLists(folder / "lists"),
    "sqlite": lambda folder: SqliteLists(folder / "lists.sqlite"),
}
CACHES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: MemoryCache(),
    "file": lambda folder: FileCache(folder / "cache.jsonl"),
    "sqlite": lambda folder: SqliteCache(folder / "cache.sqlite"),
}
NAMES = [
    ("ads.example", 1_767_225_600_123),
    ("*.tracker.example", 2),
    (r"a\.b.example", 3),
    ("xn--bcher-kva.example", 4),
]


@pytest.fixture(params=LISTS)
def lists(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = LISTS[request.param](tmp_path)
    yield made
    made.close()


def test_names_come_back_in_order_with_their_times(lists: Any) -> None:
    assert lists.load("blacklist") == []
    lists.change("blacklist", NAMES, ())
    lists.change("whitelist", [("ok.example", 7)], ())
    assert lists.load("blacklist") == NAMES
    assert lists.load("whitelist") == [("ok.example", 7)]
    lists.change("blacklist", [("new.example", 9)], ["*.tracker.example", "absent.example"])
    assert lists.load("blacklist") == [NAMES[0], *NAMES[2:], ("new.example", 9)]


def test_a_lists_name_is_never_a_path(lists: Any, tmp_path: Path) -> None:
    lists.change("../../etc/passwd", [("x.example", 1)], ())
    assert lists.load("../../etc/passwd") == [("x.example", 1)]
    assert not (tmp_path.parent / "etc").exists()


@pytest.mark.parametrize("name", ["file", "sqlite"])
def test_an_edit_that_returned_is_there_for_the_next(name: str, tmp_path: Path) -> None:
    first = LISTS[name](tmp_path)
    first.change("blacklist", NAMES, ())
    again = LISTS[name](tmp_path)  # the first was never closed, as after a kill
    assert again.load("blacklist") == NAMES
    for driver in (first, again):
        driver.close()
    modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*") if p.is_file()}
    assert modes == {0o600}


def test_a_list_file_may_be_written_by_hand(tmp_path: Path) -> None:
    lists = FileLists(tmp_path)
    (tmp_path / "blacklist.txt").write_text("# mine\nads.example\n\n  b.example   # because\r\nads.example\n")
    assert lists.load("blacklist") == [("ads.example", 0), ("b.example", 0)]
    lists.change("blacklist", [("c.example", 1000)], ["b.example"])
    text = (tmp_path / "blacklist.txt").read_text()
    assert text.splitlines()[-1] == "c.example  # 1970-01-01T00:00:01.000000Z"


def test_half_written_files_are_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".blacklist.txt-abc.tmp").write_text("half")
    FileLists(tmp_path).change("blacklist", NAMES, ())
    assert [p.name for p in tmp_path.iterdir()] == ["blacklist.txt"]


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_is_replaced_whole(name: str, tmp_path: Path) -> None:
    cache = CACHES[name](tmp_path)
    assert list(cache.load()) == []
    cache.save([b'["a"]', b'["b"]'])
    cache.save([b'["c"]', b'["d"]'])

    def failing() -> Any:
        yield b'["e"]'
        raise OSError(28, "No space left on device")

    if cache.lasting:
        with pytest.raises(OSError, match="No space"):
            cache.save(failing())
    cache.close()
    again = CACHES[name](tmp_path)
    assert list(again.load()) == ([b'["c"]', b'["d"]'] if cache.lasting else [])
    again.close()


def test_kept_answers_are_checked() -> None:
    from dnsnb.dns.cache import Cache
    from dnsnb.dns.keptcache import dump_entry, load_entry
    from dnsnb.dns.message import Answer
    from dnsnb.dns.wire import Question

    question = Question(b"\x03www\x07example\0", 1, 1, False, False)
    body = b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01"
    answer = Answer(0, body, qname=question.qname, qtype=1, counts=(1, 0, 0), ttls=((6, 300),), ttl=300, keep=300,
                    names=(question.qname,), addresses=(b"\xc0\0\x02\x01",), upstream="1.1.1.1")  # fmt: skip
    entry = Cache().put(question, answer, 1000.0)
    assert entry is not None
    data = dump_entry(question, entry, 1010.0, 5_000_000.0)
    found = load_entry(data, 50.0, 5_000_060.0)  # another process, 60 seconds later
    assert found is not None
    again, held = found
    assert again == question
    assert held.expires - 50.0 == pytest.approx(230)
    assert 50.0 - held.stored == pytest.approx(70)
    assert held.answer.body == body
    assert held.answer.texts() == answer.texts()
    early = load_entry(data, 50.0, 1_000_000.0)  # the wall clock was set back: never longer than its TTL
    assert early is not None
    assert early[1].expires - 50.0 <= 300
    for damaged in (b"", b"[]", b"{}", data[:-5], data.replace(b"[[6,300]]", b"[[60,300]]"), b"[" * 100_000,
                    data.replace(b'"1.1.1.1"', b'"1.1.1.1",0'), data.replace(b"[1,", b"[2,", 1)):  # fmt: skip
        assert load_entry(damaged, 0, 0) is None


# --- the table ---


def settings(**values: Any) -> Any:
    plain = {"log_driver": "memory", "list_driver": "memory", "cache_driver": "memory", "folder": None}
    return SimpleNamespace(**(plain | {"log_rows": 10, "log_bytes": 1 << 20} | values))


@pytest.mark.parametrize("kind", drivers.KINDS)
def test_an_unknown_driver_is_named_with_those_there_are(kind: str) -> None:
    with pytest.raises(SettingError) as error:
        drivers.open_drivers(settings(**{f"{kind}_driver": "papyrus"}))
    assert error.value.setting == f"{kind}_driver"
    assert "sqlite" in error.value.why


def test_lasting_drivers_need_a_folder() -> None:
    for kind, known in drivers.DRIVERS.items():
        for name in known:
            if name in ("memory", "console"):
                continue
            with pytest.raises(SettingError, match="folder"):
                drivers.make_driver(kind, settings(), name)


def test_a_failing_driver_leaves_none_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    (tmp_path / "cache.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(SettingError) as error:
        drivers.open_drivers(
            settings(log_driver="sqlite", list_driver="sqlite", cache_driver="sqlite", folder=tmp_path)
        )
    assert error.value.setting == "cache_driver"
    if before:
        assert len(os.listdir("/proc/self/fd")) <= len(before)


def test_a_package_adds_a_driver_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    class Point:
        name = "papyrus"

        def load(self) -> Callable[[Any], Any]:
            return lambda given: ("made with", given.log_rows)

    class Ours(Point):
        name = "memory"

    def entry_points(group: str) -> list[Any]:
        return [Point(), Ours()] if group == "dnsnb.drivers.log" else []

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    assert drivers.make_driver("log", settings(), "papyrus") == ("made with", 10)
    assert drivers.make_driver("log", settings()).name == "memory"  # ours is not replaced
    assert "papyrus" not in drivers.known_drivers("cache")
