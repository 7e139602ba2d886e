"""Everything a server was told moves to another one as an archive; a hostile archive moves nothing."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dnsnb.errors import SettingError
from dnsnb.server import archive
from dnsnb.server.server import Server
from dnsnb.simulate import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(latency_ms=0) as up:
        yield up


async def told(upstream: Upstream, folder: Path) -> bytes:
    """Return the archive of a server that was told a lot."""
    async with Server(
        upstreams=[upstream.address], folder=folder, block_mode="refused", token="not-to-be-carried", cache_entries=77
    ) as server:
        await server.edit_list("blacklist", add=["ads.test", "*.wild.test"])
        await server.edit_list("whitelist", add=["ok.ads.test"])
        await server.policy_keeper.lists.add({"name": "mine", "text": "one.test\ntwo.test\n"})
        await server.policy_keeper.set_directory(
            [{"name": "tv", "addresses": ["192.0.2.7"]}], [{"name": "kids", "members": ["tv"], "lists": ["mine"]}]
        )
        await server.policy_keeper.add_records([{"name": "nas.lan", "type": "A", "data": "192.0.2.9"}])
        return await archive.export(server)


async def test_everything_moves(upstream: Upstream, tmp_path: Path) -> None:
    data = await told(upstream, tmp_path / "one")
    assert b"not-to-be-carried" not in data
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert sorted(opened.namelist()) == sorted(archive.MEMBERS)
        assert b"not-to-be-carried" not in b"".join(opened.read(name) for name in opened.namelist())
    async with Server(upstreams=["192.0.2.1"], folder=tmp_path / "other") as other:
        await other.edit_list("blacklist", add=["mine.test"])
        done = await archive.take(other, data)
        assert done["problems"] == []
        assert (done["blacklist"], done["whitelist"], done["lists"]) == (2, 1, ["mine"])
        assert (done["clients"], done["records"]) == (1, 1)
        assert sorted(done["settings"]) == ["block_mode", "cache_entries", "upstreams"]
        names = [rule.text for rule in other.policy.list("blacklist").names]
        assert names == ["mine.test", "ads.test", "*.wild.test"]
        assert other.policy.lists["mine"].count == 2
        assert other.policy.identify("192.0.2.7").name == "tv"
        assert [r.name for r in other.policy.local.records] == ["nas.lan"]
        again = await archive.take(other, data)
        assert (again["blacklist"], again["settings"], again["records"]) == (0, [], 0)
    async with Server(upstreams=["192.0.2.1"], folder=tmp_path / "other") as later:  # it was kept
        assert later.settings.block_mode == "refused"
        assert later.policy.lists["mine"].count == 2


def changed(data: bytes, **members: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name in members:
                if members[name] is not None:
                    new.writestr(name, members[name])
            else:
                new.writestr(name, old.read(name))
        for name in members.keys() - set(old.namelist()):
            new.writestr(name, members[name])
    return out.getvalue()


async def test_a_wrong_archive_moves_nothing(upstream: Upstream, tmp_path: Path, monkeypatch: Any) -> None:
    data = await told(upstream, tmp_path / "one")
    monkeypatch.setattr(archive, "MAX_MEMBER", 1 << 20)
    wrong = [
        b"", b"PK\x03\x04 but no archive", data[: len(data) // 2],
        changed(data, **{"settings.json": b"{"}),
        changed(data, **{"settings.json": b"[]"}),
        changed(data, **{"settings.json": json.dumps({"blok_mode": "null"})}),
        changed(data, **{"settings.json": json.dumps({"block_ttl": -1})}),
        changed(data, **{"manifest.json": json.dumps({"archive": "dnsnb", "version": 99})}),
        changed(data, **{"records.json": None}),
        changed(data, **{"records.json": json.dumps([{"name": "x", "type": "A", "data": "nowhere"}])}),
        changed(data, **{"records.json": json.dumps(["x"])}),
        changed(data, **{"lists.json": json.dumps({"blacklist": ["fine.test", "not a name"]})}),
        changed(data, **{"lists.json": json.dumps({"blacklist": "x"})}),
        changed(data, **{"lists.json": json.dumps({"lists": [{"name": "x", "colour": 1}]})}),
        changed(data, **{"clients.json": json.dumps({"clients": [{"name": "x", "addresses": ["nowhere"]}]})}),
        changed(data, **{"lists.json": b" " * (2 << 20)}),  # larger than it may be
        changed(data, **{"lists.json": b"[" * 100_000}),
    ]  # fmt: skip
    async with Server(upstreams=["192.0.2.1"]) as server:
        before = server.settings
        for number, bad in enumerate(wrong):
            with pytest.raises(SettingError):
                await archive.take(server, bad)
            assert server.settings is before, number
            assert not server.policy.list("blacklist").names, number


async def test_foreign_members_are_never_unpacked(upstream: Upstream, tmp_path: Path) -> None:
    stolen = {"token": "stolen-token", "folder": "/tmp/elsewhere", "dns": "0.0.0.0:53", "http": "0.0.0.0:80"}
    members = {"../../evil.txt": b"x", "/etc/evil": b"x", "settings.json": json.dumps(stolen)}
    data = changed(await told(upstream, tmp_path / "one"), **members)
    async with Server(upstreams=["192.0.2.1"], folder=tmp_path / "other") as server:
        done = await archive.take(server, data)
        assert done["settings"] == []
        assert server.settings.http == "127.0.0.1:0"
    assert not any("evil" in name for _, folders, files in os.walk(tmp_path) for name in (*folders, *files))


def test_the_command_line_moves_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import dnsnb
    from dnsnb.cli import main

    with (
        dnsnb.start(name="from", upstreams=["192.0.2.1"]) as one,
        dnsnb.start(name="to", upstreams=["192.0.2.1"]) as other,
    ):
        one.block("ads.test")
        file = tmp_path / "moved.zip"
        assert main(["export", str(file), "--url", one.client.url, "--token", str(one.token)]) == 0
        assert file.stat().st_mode & 0o777 == 0o600
        assert main(["import", str(file), "--url", other.client.url, "--token", str(other.token)]) == 0
        assert [e["name"] for e in other.client.blacklist()["entries"]] == ["ads.test"]
        assert "blacklist" in capsys.readouterr().out
        assert main(["import", str(tmp_path / "absent.zip"), "--url", other.client.url, "--token", "x"]) == 2
        (tmp_path / "bad.zip").write_bytes(b"nonsense")
        arguments = ["import", str(tmp_path / "bad.zip"), "--url", other.client.url, "--token", str(other.token)]
        assert main(arguments) in (1, 2)
        assert "can't be read" in capsys.readouterr().err
