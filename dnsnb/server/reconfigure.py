"""Changing settings while the server runs: checked, prepared, kept, then made and told; a failure changes nothing."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnsnb.config import AT_HAND, AT_START, KEPT, Settings, read_kept
from dnsnb.dns.blocking import BlockAnswer
from dnsnb.dns.lists import BLACKLIST, WHITELIST
from dnsnb.dns.options import FAST_PATHS, EngineOptions
from dnsnb.dns.privacy import Privacy
from dnsnb.dns.rebind import Rebinding
from dnsnb.drivers.private import make_folder, write_whole
from dnsnb.errors import SettingError
from dnsnb.server.initial_lists import take_kept

if TYPE_CHECKING:
    from dnsnb.server.server import Server

_UPSTREAMS = ("upstreams", "strategy")


def describe(server: Server) -> dict[str, Any]:
    """Return the settings, where each came from, and which of them wait for a restart."""
    settings = server.settings
    values = settings.public()
    return {
        "settings": values,
        "sources": {key: settings.source(key) for key in values},
        "restart": sorted(server.waiting_settings),
    }


def schema() -> dict[str, Any]:
    """Return the JSON schema of the settings; `x-live` says whether one changes while the server runs."""
    found = Settings.model_json_schema()
    for key, value in found["properties"].items():
        value["x-live"] = key not in AT_START | AT_HAND
    del found["properties"]["token"]
    return found


async def reconfigure(server: Server, values: Mapping[str, Any]) -> dict[str, Any]:
    """Change settings; None puts one back to its default. Returns `describe` and what has `changed`.

    Raises SettingError naming a wrong one, OSError when the change can't be kept; then nothing has changed.
    """
    for key, value in values.items():
        if key in AT_HAND:
            shown = "…" if key == "token" else value
            raise SettingError(key, shown, "can't be changed over the API; give it when the server starts")
    async with server.lock:
        old = server.settings
        new = old.changed(**values)
        changed = [key for key in values if getattr(new, key) != getattr(old, key)]
        prepared = await server.storage.prepare(new)
        opened: list[Any] = []
        try:
            if "upstreams" in changed:
                opened = server.open_targets(new.upstreams, "upstreams")
            found: dict[str, list[tuple[str, int]]] = {}
            if "list" in prepared:
                found = await asyncio.to_thread(_carry_lists, server.drivers.lists, prepared["list"])
            privacy = await asyncio.to_thread(open_privacy, new) if "privacy" in changed else None
            await asyncio.to_thread(_keep, new.folder, values)
        except BaseException:
            await server.storage.discard(prepared)
            for target in opened:
                target.upstream.close()
            raise
        if privacy is not None:
            server.events.set_privacy(privacy)
        await _make(server, new, prepared, opened, found)
        server.waiting_settings |= AT_START & set(changed)
        if changed:
            server.events.notice("info", f"settings changed: {', '.join(sorted(changed))}")
            server.events.status_changed()
    return {**describe(server), "changed": sorted(changed)}


async def _make(
    server: Server,
    new: Settings,
    prepared: dict[str, Any],
    opened: list[Any],
    found: dict[str, list[tuple[str, int]]],
) -> None:
    """Make a change that is kept already; nothing here may fail."""
    server.settings = new
    server.engine.configure(engine_options(new))
    server.engine.cache.resize(new.cache_entries, new.cache_bytes)
    server.policy.allow_only = new.allow_only
    server.policy.set_rebinding(Rebinding(new.rebind_protection, new.rebind_allow))
    server.forwarder.strategy = new.strategy
    if opened:
        old, server.forwarder.targets = server.forwarder.targets, opened
        later = asyncio.get_running_loop().call_later
        for target in old:  # what is in flight may still be answered
            later(server.forwarder.deadline + 1, target.upstream.close)
    await server.storage.commit(new, prepared)
    for name, names in found.items():
        take_kept(server.policy, name, names)


def _carry_lists(old: Any, new: Any) -> dict[str, list[tuple[str, int]]]:
    """Give a new driver the names it lacks; returns those that it held already, to be taken up."""
    found = {}
    for name in (BLACKLIST, WHITELIST):
        held = dict(new.load(name))
        missing = [(text, moment) for text, moment in old.load(name) if text not in held]
        if missing:
            new.change(name, missing, ())
        found[name] = list(held.items())
    return found


def _keep(folder: Path | None, values: Mapping[str, Any]) -> None:
    if folder is None:
        return
    kept = {k: v for k, v in (read_kept(folder) | dict(values)).items() if v is not None}
    data = json.dumps(kept, indent=1, default=str).encode()
    write_whole(make_folder(folder) / KEPT, lambda out: out.write(data))


def open_privacy(settings: Settings) -> Privacy:
    """Return what the log leaves out, with the key of pseudonyms: the folder's, or without one a key made now.

    Raises SettingError when the key can't be kept.
    """
    key = secrets.token_bytes(32)
    if "pseudonyms" in settings.privacy and settings.folder is not None:
        path = settings.folder / "privacy.key"
        try:
            held = path.read_bytes() if path.exists() else b""
            if len(held) == 32:
                key = held
            else:
                write_whole(make_folder(settings.folder) / path.name, lambda out: out.write(key))
        except OSError as error:
            raise SettingError("folder", str(path), f"can't be written: {error.strerror}") from None
    return Privacy(settings.privacy, key)


def engine_options(settings: Settings) -> EngineOptions:
    """Return what of the settings is the engine's."""
    return EngineOptions(
        block=BlockAnswer(settings.block_mode, settings.block_ttl, tuple(settings.block_addresses), settings.block_ede),
        access=tuple(settings.allow_clients),
        rate_limit=settings.rate_limit,
        rate_burst=settings.rate_burst,
        rate_prefix4=settings.rate_prefix4,
        rate_prefix6=settings.rate_prefix6,
        ttl_floor=settings.ttl_floor,
        ttl_cap=settings.ttl_cap,
        negative_cap=settings.negative_cap,
        serve_stale=settings.serve_stale,
        prefetch=settings.prefetch,
        fast_paths=settings.fast_paths and FAST_PATHS,
    )
