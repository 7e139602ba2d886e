"""What is kept: by every driver, through swaps, failures and restarts; the log's filters, the same over all of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import sqlite3
import stat
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from dnslib import DNSRecord

from dnsnb.dns import wire
from dnsnb.errors import SettingError
from dnsnb.server.server import Server
from dnsnb.simulate import Upstream

LOG_DRIVERS = ["memory", "file", "sqlite", "parquet"]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(latency_ms=0) as up:
        yield up


async def ask(server: Server, *names: str, qtype: int = 1) -> list[bytes]:
    """Ask over UDP, one after the other; returns the answers."""
    host, _, port = server.dns_address.rpartition(":")
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((host, int(port)))
        answers = []
        for name in names:
            await loop.sock_sendall(sock, wire.make_query(wire.text_to_name(name), qtype))
            async with asyncio.timeout(5):
                answers.append(await loop.sock_recv(sock, 4096))
        return answers


async def call(server: Server, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {server.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.request(method, server.http_url + path, json=body) as response,
    ):
        raw = await response.read()
        is_json = response.content_type == "application/json"
        return response.status, json.loads(raw) if is_json and raw else raw


async def settled(server: Server, rows: int) -> None:
    """Wait until the log driver has so many rows."""
    await server.events.tick()
    await until(lambda: server.storage.log_count >= rows)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def page(server: Server, query: str = "") -> dict[str, Any]:
    status, body = await call(server, "GET", f"/api/dns/log?{query}")
    assert status == 200, body
    found: dict[str, Any] = body
    return found


def files_of(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system of its own can't be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def make(up: Upstream, folder: Path | None = None, **settings: Any) -> Server:
    return Server(upstreams=[up.address], folder=folder, **settings)


# --- the log ---


@pytest.mark.parametrize("driver", LOG_DRIVERS)
async def test_filters_are_the_same_over_every_driver(driver: str, upstream: Upstream, tmp_path: Path) -> None:
    names = ["ok-60.example.org", "a.ads.test", "nx-30-5.example.org", "www.ok-60.net", "ok-60.example.org"]
    async with make(upstream, tmp_path, log_driver=driver, blacklist=["ads.test"]) as server:
        await ask(server, *names)
        await ask(server, "ok-60.example.org", qtype=28)
        await settled(server, 6)

        async def found(query: str) -> list[str]:
            columns = (await page(server, query))["columns"]
            return [f"{n}/{t}" for n, t in zip(columns["qname"], columns["qtype"], strict=True)] if columns else []

        everything = [*(f"{n}/A" for n in names), "ok-60.example.org/AAAA"]
        assert await found("") == everything
        assert await found("status=blocked") == ["a.ads.test/A"]
        assert await found("list=blacklist&last=1h") == ["a.ads.test/A"]
        assert await found("rcode=nxdomain") == ["nx-30-5.example.org/A"]
        assert await found("type=aaaa") == ["ok-60.example.org/AAAA"]
        assert await found("name=example.org") == [everything[0], everything[2], everything[4], everything[5]]
        assert await found("name=*ads*,www.*") == [everything[1], everything[3]]
        assert await found("name=/^(a|www)[.]/") == [everything[1], everything[3]]
        assert await found("status=cached") == ["ok-60.example.org/A"]
        assert await found(f"upstream={upstream.address}&type=A&name=*.net") == ["www.ok-60.net/A"]
        assert await found("client=127.0.0.0/8") == everything
        assert await found("client=192.0.2.1") == []
        assert await found("slower=100000") == []
        assert await found("faster=100000") == everything
        assert await found("since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00%2B01:00") == []
        assert await found("last=1h&limit=2") == everything[-2:]
        assert await found("order=oldest&limit=2") == everything[:2]
        first = await page(server, "limit=2&name=example.org")
        second = await page(server, f"limit=2&name=example.org&before={first['next']}")
        assert second["columns"]["id"] < first["columns"]["id"]
        assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "setting"),
    [
        ("status=bloked", "status"), ("last=1y", "last"), ("last=", "last"), ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"), ("client=example.org", "client"), ("name=/(/", "name"),
        ("name=" + "*a" * 9, "name"), ("slower=fast", "slower"), ("slower=nan", "slower"), ("order=up", "order"),
        ("nmae=x", "nmae"), ("type=,", "type"), ("before=0", "before"), ("until=99999999999999999", "until"),
    ],
)  # fmt: skip
async def test_a_wrong_filter_is_named(query: str, setting: str, upstream: Upstream) -> None:
    async with make(upstream) as server:
        status, body = await call(server, "GET", f"/api/dns/log?{query}")
        assert (status, body["error"]["setting"]) == (422, setting)


@pytest.mark.parametrize("driver", ["file", "sqlite", "parquet"])
async def test_a_restart_keeps_log_lists_and_cache(driver: str, upstream: Upstream, tmp_path: Path) -> None:
    other = {"file": "file", "sqlite": "sqlite", "parquet": "sqlite"}[driver]
    settings = {"log_driver": driver, "list_driver": other, "cache_driver": other}
    async with make(upstream, tmp_path, **settings) as server:
        await call(server, "POST", "/api/dns/blacklist", {"names": ["ads.example.net"]})
        await call(server, "POST", "/api/dns/blacklist", {"names": ["later.example.net", "*.more.example.net"]})
        await call(server, "DELETE", "/api/dns/blacklist", {"names": ["later.example.net"]})
        before = await call(server, "GET", "/api/dns/blacklist")
        await ask(server, "ok-3600.example.org", "x.ads.example.net", "ok-1.example.org")
        await settled(server, 3)
        ids = (await page(server))["columns"]["id"]
    asked = sum(upstream.queries.values())
    async with make(upstream, tmp_path, **settings) as again:
        held = await call(again, "GET", "/api/dns/blacklist")
        assert held[1]["entries"] == before[1]["entries"]
        await asyncio.sleep(1.1)  # one answer ends
        [warm] = await ask(again, "ok-3600.example.org")
        assert sum(upstream.queries.values()) == asked
        assert 3590 <= DNSRecord.parse(warm).rr[0].ttl <= 3599
        await ask(again, "ok-1.example.org")
        assert sum(upstream.queries.values()) == asked + 1
        await settled(again, 5)
        now = (await page(again))["columns"]
        assert now["id"][:3] == ids
        assert now["id"] == sorted(set(now["id"]))
        assert now["status"] == ["forwarded", "blocked", "forwarded", "cached", "forwarded"]
    assert {stat.S_IMODE(p.stat().st_mode) for p in files_of(tmp_path)} == {0o600}


async def test_drivers_are_swapped_while_running_and_nothing_is_lost(upstream: Upstream, tmp_path: Path) -> None:
    async with make(upstream, tmp_path) as server:
        await call(server, "POST", "/api/dns/blacklist", {"names": ["ads.example.net"]})
        stop = asyncio.Event()
        asked = 0

        async def traffic() -> None:
            nonlocal asked
            while not stop.is_set():
                await ask(server, f"n{asked}.example.org")
                asked += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(traffic())
        for log, lists, cache in [
            ("sqlite", "file", "file"), ("parquet", "sqlite", "sqlite"), ("file", "memory", "memory"),
            ("memory", "file", "file"), ("sqlite", "sqlite", "sqlite"),
        ]:  # fmt: skip
            await settled(server, asked + 5)
            body = {"log_driver": log, "list_driver": lists, "cache_driver": cache}
            status, done = await call(server, "PATCH", "/api/dns/config", body)
            assert status == 200, done
            assert sorted(done["changed"]) == sorted(body)
            assert done["restart"] == []
            info = server.events.info()
            assert info["drivers"] == {"log": log, "cache": cache, "blacklist": lists, "whitelist": lists}
            assert "log_driver" in info["notices"][-1]["text"]
        stop.set()
        await task
        await settled(server, asked)
        names = []
        cursor = ""
        while True:
            body = await page(server, "limit=500&order=oldest" + cursor)
            names += body["columns"]["qname"]
            if body["next"] is None:
                break
            cursor = f"&after={body['next']}"
        assert names == [f"n{n}.example.org" for n in range(asked)]
        assert server.storage.log_dropped == 0
        _, held = await call(server, "GET", "/api/dns/blacklist")
        assert [e["name"] for e in held["entries"]] == ["ads.example.net"]
    async with make(upstream, tmp_path) as again:  # kept, as there is a folder
        assert again.settings.log_driver == "sqlite"
        assert again.settings.source("log_driver") == "kept"
        _, held = await call(again, "GET", "/api/dns/blacklist")
        assert [e["name"] for e in held["entries"]] == ["ads.example.net"]


async def test_a_driver_that_cant_be_opened_changes_nothing(upstream: Upstream, tmp_path: Path) -> None:
    async with make(upstream, tmp_path) as server:
        (tmp_path / "log.sqlite").write_bytes(b"this is no database" * 100)
        status, body = await call(server, "PATCH", "/api/dns/config", {"log_driver": "sqlite", "block_mode": "refused"})
        assert (status, body["error"]["setting"]) == (422, "log_driver")
        assert server.drivers.log.name == "memory"
        assert server.settings.block_mode == "null"
        assert not (tmp_path / "settings.json").exists()
    async with make(upstream) as server:
        status, body = await call(server, "PATCH", "/api/dns/config", {"log_driver": "file"})
        assert (status, body["error"]["setting"]) == (422, "log_driver")
        assert "folder" in body["error"]["message"]


# --- drills: failing storage never costs an answer ---


async def test_a_locked_database_costs_no_answer_and_no_row(upstream: Upstream, tmp_path: Path) -> None:
    async with make(upstream, tmp_path, log_driver="sqlite") as server:
        await ask(server, "before.example.org")
        await settled(server, 1)
        other = sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        answers = await ask(server, *(f"n{n}.example.org" for n in range(20)))
        assert len(answers) == 20
        await server.events.tick()
        await until(lambda: bool(server.events.notices))
        assert "can't write" in server.events.notices[0]["text"]
        other.execute("ROLLBACK")
        other.close()
        await settled(server, 21)
        assert server.storage.log_dropped == 0


@pytest.mark.parametrize("driver", ["file", "sqlite", "parquet"])
async def test_a_full_disk_costs_counted_rows_and_never_an_answer(
    driver: str, upstream: Upstream, small_disk: Path
) -> None:
    async with make(upstream, small_disk, log_driver=driver, list_driver="file", journal_limit=1000) as server:
        await ask(server, "before.example.org")
        await settled(server, 1)
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        for _ in range(30):
            answers = await ask(server, *(f"n{n}.example.org" for n in range(50)))
            assert len(answers) == 50
            await server.events.tick()
            if server.storage.log_dropped:
                break
        else:
            await until(lambda: server.storage.log_dropped > 0)
        texts = " ".join(n["text"] for n in server.events.notices)
        assert "can't write" in texts
        status, body = await call(server, "POST", "/api/dns/blacklist", {"names": ["x.example.net"]})
        assert (status, body["error"]["code"]) == (503, "not_kept")
        status, body = await call(server, "PATCH", "/api/dns/config", {"block_mode": "refused"})
        assert (status, server.settings.block_mode) == (503, "null")
        filler.unlink()
        await ask(server, "after.example.org")
        async with asyncio.timeout(8):
            while (await page(server, "name=after.example.org"))["columns"] == {}:
                await server.events.tick()
                await asyncio.sleep(0.02)
        status, _ = await call(server, "POST", "/api/dns/blacklist", {"names": ["x.example.net"]})
        assert status == 200


async def test_a_read_only_folder_costs_no_answer(upstream: Upstream, small_disk: Path) -> None:
    async def remount(how: str) -> None:
        await asyncio.to_thread(subprocess.run, ["mount", "-o", f"remount,{how}", small_disk], check=True)

    async with make(upstream, small_disk, list_driver="file") as server:
        await call(server, "POST", "/api/dns/blacklist", {"names": ["before.example.net"]})
        await remount("ro")
        status, body = await call(server, "POST", "/api/dns/blacklist", {"names": ["x.example.net"]})
        assert (status, body["error"]["code"]) == (503, "not_kept")
        status, body = await call(server, "PATCH", "/api/dns/config", {"block_ttl": 9})
        assert (status, server.settings.block_ttl) == (503, 60)
        status, body = await call(server, "PATCH", "/api/dns/config", {"log_driver": "sqlite"})
        assert (status, server.drivers.log.name) == (422, "memory")
        assert len(await ask(server, *(f"n{n}.example.org" for n in range(20)))) == 20
        _, held = await call(server, "GET", "/api/dns/blacklist")
        assert [e["name"] for e in held["entries"]] == ["before.example.net"]
    async with make(upstream, small_disk) as server:  # nothing is to be written
        assert len(await ask(server, "n.example.org")) == 1
    with pytest.raises(SettingError, match=r"privacy\.key"):
        await make(upstream, small_disk, privacy=["pseudonyms"]).__aenter__()
    for driver in ("file", "sqlite", "parquet"):
        with pytest.raises(SettingError) as error:
            async with make(upstream, small_disk, log_driver=driver):
                raise AssertionError("it must not open")
        assert error.value.setting == "log_driver"
    await remount("rw")


async def test_a_folder_that_cant_be_written_is_named(upstream: Upstream, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for driver in ("file", "sqlite", "parquet"):
        with pytest.raises(SettingError) as error:
            async with make(upstream, blocked / "data", log_driver=driver):
                raise AssertionError("it must not open")
        assert error.value.setting in ("log_driver", "folder")


async def test_a_folder_has_one_server(upstream: Upstream, tmp_path: Path) -> None:
    async with make(upstream, tmp_path, log_driver="file") as server:
        with pytest.raises(SettingError, match="another server") as error:
            await make(upstream, tmp_path).__aenter__()
        assert error.value.setting == "folder"
        await ask(server, "n.example.org")
        await settled(server, 1)
    async with make(upstream, tmp_path, log_driver="file") as again:
        assert again.storage.log_count == 1


# --- privacy ---


@pytest.mark.parametrize("driver", LOG_DRIVERS)
async def test_what_is_private_is_nowhere(driver: str, upstream: Upstream, tmp_path: Path) -> None:
    async with make(upstream, tmp_path, log_driver=driver, privacy=["pseudonyms", "no-names"]) as server:
        named = {"clients": [{"name": "Ada's telephone", "addresses": ["127.0.0.1"]}]}
        assert (await call(server, "POST", "/api/dns/clients", named))[0] == 200
        await ask(server, "secret.example.org", "other.example.org")
        await settled(server, 2)
        columns = (await page(server))["columns"]
        assert columns["qname"] == [None, None]
        assert columns["answers"] == [None, None]
        assert columns["qtype"] == ["A", "A"]
        assert len(set(columns["client"])) == 1
        assert columns["client"][0] != "127.0.0.1"
        assert "Ada" not in str(columns)
        newest = server.events.newest()
        assert newest["qname"] == [None, None]
        _, done = await call(server, "PATCH", "/api/dns/config", {"privacy": ["no-clients"]})
        assert done["changed"] == ["privacy"]
        await ask(server, "shown.example.org")
        await settled(server, 3)
        columns = (await page(server, "limit=1"))["columns"]
        assert (columns["client"], columns["qname"]) == ([None], ["shown.example.org"])
        assert "Ada" not in str(columns)
        assert "Ada" not in str(server.events.newest())
    assert not [p for p in files_of(tmp_path) if b"secret" in p.read_bytes()]


def test_pseudonyms_keep_prefixes() -> None:
    import ipaddress

    from dnsnb.dns.privacy import Privacy

    privacy, other = Privacy(["pseudonyms"], b"k" * 32), Privacy(["pseudonyms"], b"o" * 32)

    def common(a: str, b: str) -> int:
        x, y = ipaddress.ip_address(a), ipaddress.ip_address(b)
        return x.max_prefixlen - (int(x) ^ int(y)).bit_length()

    for a, b in [("192.0.2.1", "192.0.2.200"), ("10.0.0.1", "192.0.2.1"), ("2001:db8::1", "2001:db8:0:1::1")]:
        assert common(privacy.pseudonym(a), privacy.pseudonym(b)) == common(a, b)
        assert privacy.pseudonym(a) == privacy.pseudonym(a) != a
        assert other.pseudonym(a) != privacy.pseudonym(a)
    assert privacy.pseudonym("fe80::1%eth0") != "fe80::1"
    assert len({privacy.pseudonym(f"192.0.2.{n}") for n in range(256)}) == 256


async def test_a_reader_of_the_log_sees_its_own_questions(upstream: Upstream) -> None:
    """No waiting, no polling: what was answered is in the next page."""
    async with Server(upstreams=[upstream.address]) as server:
        for number in range(20):
            await ask(server, f"ok-60.n{number}.test")
            _, page = await call(server, "GET", "/api/dns/log?limit=1")
            assert page["columns"]["qname"] == [f"ok-60.n{number}.test"]


async def test_a_stuck_driver_does_not_hold_its_readers(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server(upstreams=[upstream.address]) as server:
        broken = True

        def append(batch: Any, kept: Any = server.drivers.log.append) -> None:
            if broken:
                raise OSError("no space left on device")
            kept(batch)

        monkeypatch.setattr(server.drivers.log, "append", append)
        await ask(server, "ok-60.lost.test")
        async with asyncio.timeout(5):
            status, page = await call(server, "GET", "/api/dns/log?limit=1")
        assert (status, page["count"]) == (200, 0)
        broken = False
