"""What a server was told, as one zip archive: settings, the two lists, further lists, clients, local records.

Nothing is ever unpacked to disk: known members are read, within limits, and go through the same checks as edits.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import dnsnb
from dnsnb.config import AT_HAND
from dnsnb.dns.clients import Directory, parse_client, parse_group
from dnsnb.dns.lists import BLACKLIST, WHITELIST
from dnsnb.dns.local import parse_record
from dnsnb.errors import SettingError
from dnsnb.server.fetch import FetchError
from dnsnb.server.list_source import KEYS, parse_source
from dnsnb.server.reconfigure import reconfigure

if TYPE_CHECKING:
    from dnsnb.server.server import Server

VERSION = 1
MAX_BYTES = 64 << 20  # of an archive
MAX_MEMBER = 128 << 20  # of a member, unpacked
MEMBERS = ("manifest.json", "settings.json", "lists.json", "clients.json", "records.json")
#: what belongs to one machine, or goes in members of its own, is not carried
NOT_CARRIED = AT_HAND | {
    "dns", "http", "http_hosts", "tls_dns", "tls_cert", "tls_key", "lists", "list_folders", "clients", "groups",
    "records", "hosts_files", "zone_files", "blacklist", "whitelist",
}  # fmt: skip


async def export(server: Server) -> bytes:
    """Return the archive."""
    settings = server.settings
    values = settings.public()
    keeper = server.policy_keeper
    sources = []
    for name, state in keeper.lists.states.items():
        source = {key: value for key, value in state.source.as_dict().items() if key in KEYS}
        if state.source.word == "text":
            text = await asyncio.to_thread(keeper.store.load_copy, name)
            if text is None:  # without a folder a text is not kept once it has been read
                continue
            source["text"] = text.decode("utf-8", "replace")
        sources.append(source)
    parts = {
        "manifest.json": {
            "archive": "dnsnb",
            "version": VERSION,
            "by": dnsnb.__version__,
            "time": server.wall() // 10**6,
        },
        "settings.json": {k: values[k] for k in sorted(settings.model_fields_set - NOT_CARRIED)},
        "lists.json": {
            **{name: [rule.text for rule in server.policy.list(name).names] for name in (BLACKLIST, WHITELIST)},
            "lists": sources,
        },
        "clients.json": server.policy.directory.as_dict(),
        "records.json": [
            {k: v for k, v in record._asdict().items() if k != "source"}
            for record in server.policy.local.records
            if record.source == "records"
        ],
    }
    return await asyncio.to_thread(_pack, parts)


def _pack(parts: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in parts.items():
            archive.writestr(name, json.dumps(value, indent=1, ensure_ascii=True, default=str))
    return out.getvalue()


async def take(server: Server, data: bytes) -> dict[str, Any]:
    """Take an archive in: what it holds is added to what is there, settings and clients replace those there are.

    All of it is checked before any of it is made. Raises SettingError naming the member and what is wrong with it.
    """
    parts = await asyncio.to_thread(unpack, data)
    settings, lists, clients, records = (parts[name] for name in MEMBERS[1:])
    settings = {k: v for k, v in settings.items() if k not in NOT_CARRIED}
    server.settings.changed(**settings)
    for name in (BLACKLIST, WHITELIST):
        server.policy.plan(name, add=_texts(lists.get(name, []), f"lists.json.{name}"))
    sources = _objects(lists.get("lists", []), "lists.json.lists")
    for item in sources:
        parse_source(item)
    people = _objects(clients.get("clients", []), "clients.json.clients")
    groups = _objects(clients.get("groups", []), "clients.json.groups")
    Directory([parse_client(item) for item in people], [parse_group(item) for item in groups])
    wanted = [parse_record(item, f"records.json[{n}]") for n, item in enumerate(_objects(records, "records.json"))]

    told: dict[str, Any] = {"problems": []}
    told["settings"] = (await reconfigure(server, settings))["changed"] if settings else []
    for name in (BLACKLIST, WHITELIST):
        told[name] = len((await server.edit_list(name, add=lists.get(name, [])))["added"])
    told["lists"] = []
    for item in sources:
        try:
            told["lists"].append((await server.policy_keeper.lists.add(item))["name"])
        except (SettingError, FetchError, OSError) as error:
            told["problems"].append(f"list {item.get('name')!r}: {error}")
    if people or groups:
        try:
            await server.policy_keeper.set_directory(people, groups)
        except (SettingError, OSError) as error:
            told["problems"].append(f"clients: {error}")
    told["clients"] = len(people) if not any(p.startswith("clients") for p in told["problems"]) else 0
    held = {(r.name, r.type, r.data) for r in server.policy.local.records}
    missing = [item for item, r in zip(records, wanted, strict=True) if (r.name, r.type, r.data) not in held]
    told["records"] = len(await server.policy_keeper.add_records(missing)) if missing else 0
    return told


def unpack(data: bytes) -> dict[str, Any]:
    """Return the members of an archive; raises SettingError when it is none of ours, or too large."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: _member(archive, name) for name in MEMBERS}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, SettingError):
            raise
        raise SettingError("archive", f"{len(data):,} bytes", f"can't be read: {error}") from None


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        found = archive.getinfo(name)
    except KeyError:
        raise SettingError(f"archive.{name}", None, "is missing; give what dnsnb export wrote") from None
    with archive.open(found) as member:  # the size that it claims is not believed
        raw = member.read(MAX_MEMBER + 1)
    if len(raw) > MAX_MEMBER:
        raise SettingError(f"archive.{name}", f"{found.file_size:,} bytes", f"larger than {MAX_MEMBER:,} bytes")
    try:
        value: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise SettingError(f"archive.{name}", f"{len(raw):,} bytes", "is not JSON") from None
    if type(value) is not (list if name == "records.json" else dict):
        raise SettingError(f"archive.{name}", type(value).__name__, "is of another shape than dnsnb export writes")
    if (
        isinstance(value, dict)
        and name == "manifest.json"
        and not {"archive": "dnsnb", "version": VERSION}.items() <= value.items()
    ):
        raise SettingError("archive.manifest.json", "…", f"an archive of version {VERSION} of dnsnb is needed")
    return value


def _objects(value: Any, setting: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise SettingError(setting, type(value).__name__, "must be a list of objects")
    return value


def _texts(value: Any, setting: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SettingError(setting, type(value).__name__, "must be a list of names")
    return value
