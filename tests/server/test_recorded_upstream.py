"""Work without a network: a server's own exported log answers in the place of its upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import pytest

from dnsnb.errors import SettingError
from dnsnb.server import Server, recorded_upstream, upstreams

NAMES = [("www.example.org", "A"), ("cname-300-3.test", "A"), ("nx-30-5.test", "A"), ("nodata-30-5.test", "AAAA")]


async def ask(server: Server, name: str, qtype: str) -> dns.message.Message:
    host, _, port = server.dns_address.rpartition(":")
    return await dns.asyncquery.udp(dns.message.make_query(name, qtype), host, port=int(port), timeout=5)


async def test_an_exported_log_answers_offline(api: Any, tmp_path: Path) -> None:
    before = [await ask(api.server, *asked) for asked in NAMES]
    path = tmp_path / "log.jsonl"
    while path.read_bytes().count(b"\n") < len(NAMES) if path.exists() else True:
        url = api.server.http_url + "/api/dns/log/export?format=jsonl"
        async with api.session.get(url, headers=api.headers()) as response:
            assert response.status == 200
            path.write_bytes(await response.read())
    async with Server(upstreams=[f"recorded:{path}"]) as server:
        for asked, once in zip(NAMES, before, strict=True):
            reply = await ask(server, *asked)
            assert reply.rcode() == once.rcode()
            assert [(r.name, r.rdtype, list(r)) for r in reply.answer] == [
                (r.name, r.rdtype, list(r)) for r in once.answer
            ]
        missing = await ask(server, "never.asked.test", "A")
        assert missing.rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"qname": "a.test", "qtype": "NOT-A-TYPE"}', "[1]"])
async def test_what_is_no_log_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(SettingError, match="recorded:"):
        async with Server(upstreams=[f"recorded:{path}"]):
            raise AssertionError("it must not open")
    with pytest.raises(SettingError, match="can't be read"):
        async with Server(upstreams=[f"recorded:{path}.gone"]):
            raise AssertionError("it must not open")


async def test_a_recording_is_a_file_of_a_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/dev/zero", str(tmp_path), "\0"):
        with pytest.raises(SettingError, match=r"no file|can't be read"):
            async with Server(upstreams=[f"recorded:{path}"]):
                raise AssertionError("it must not open")
    large = tmp_path / "log.jsonl"
    large.write_text('{"qname": "a.test", "qtype": "A"}\n')
    monkeypatch.setattr(recorded_upstream, "MAX_FILE", 10)
    with pytest.raises(SettingError, match="no file of at most"):
        async with Server(upstreams=[f"recorded:{large}"]):
            raise AssertionError("it must not open")


async def test_a_groups_upstreams_are_no_files_and_stop_no_start(tmp_path: Path, start_api: Any) -> None:
    group = {"name": "kids", "members": ["10.0.0.5"], "upstreams": ["recorded:/dev/zero"]}
    async with start_api(folder=tmp_path) as api:
        status, body = await api.call("POST", "/api/dns/clients", {"groups": [group]})
        assert (status, body["error"]["setting"]) == (422, "groups[0].upstreams[0]")
        group["upstreams"] = ["system"]
        assert (await api.call("POST", "/api/dns/clients", {"groups": [group]}))[0] == 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upstreams, "system_resolvers", lambda: upstreams.parse_upstream("nothing://"))
        async with start_api(folder=tmp_path) as api:  # a system that names no resolvers any more
            assert api.server.forwarder.views == {"system": []}
