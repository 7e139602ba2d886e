"""What the two lists hold when a server starts: what the driver kept, then the names and files of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from dnsnb.config import Settings, split_names
from dnsnb.dns.listcontent import ListContent
from dnsnb.dns.listformats import read_list
from dnsnb.dns.lists import BLACKLIST, WHITELIST
from dnsnb.dns.policy import Policy
from dnsnb.drivers.protocols import ListDriver
from dnsnb.errors import SettingError

MAX_FILE = 512 << 20


async def fill_lists(policy: Policy, driver: ListDriver, settings: Settings) -> list[str]:
    """Fill black- and whitelist; returns what of the kept names could not be read any more.

    Raises SettingError naming a wrong name or a file that can't be read.
    """
    problems: list[str] = []
    for name, given in ((BLACKLIST, settings.blacklist), (WHITELIST, settings.whitelist)):
        names, files = split_names(given, name)
        problems += take_kept(policy, name, await asyncio.to_thread(driver.load, name))
        for number, text in enumerate(names):
            try:
                policy.plan(name, add=[text])
            except SettingError as error:
                raise SettingError(f"{name}[{list(given).index(names[number])}]", text, error.why) from None
        policy.edit(name, add=names)
        await _load_files(policy, name, files)
    return problems


def take_kept(policy: Policy, name: str, kept: Iterable[tuple[str, int]]) -> list[str]:
    """Give a list the names that a driver kept, with when they were added (ms); returns which can't be read."""
    problems: list[str] = []
    good: list[str] = []
    moments: dict[str, int] = {}
    for text, moment in kept:
        try:
            for rule in policy.plan(name, add=[text]).added:
                good.append(text)
                moments[rule.text] = moment
        except SettingError as error:
            problems.append(f"kept in {name}: {error}")
    if good:
        policy.edit(name, add=good)
        names = policy.list(name).names
        for rule in names:
            names[rule] = moments.get(rule.text, names[rule])
    return problems


async def _load_files(policy: Policy, name: str, files: Iterable[Path]) -> None:
    """Give the list the first file's rules; each further file makes a list of its own of the same kind."""
    kind = policy.list(name).kind
    for number, path in enumerate(files):
        content = await asyncio.to_thread(_read, path, kind, name)
        target = name if number == 0 else f"{name}: {path.name}"
        if target not in policy.lists:
            policy.create(target, kind)
        staged = policy.stage(target, content)
        policy.install(staged, await asyncio.to_thread(staged.build))


def _read(path: Path, kind: str, setting: str) -> ListContent:
    try:
        if path.stat().st_size > MAX_FILE:
            raise SettingError(setting, str(path), f"the file is larger than {MAX_FILE:,} bytes")
        return read_list(path.read_bytes(), kind)
    except OSError as error:
        raise SettingError(setting, str(path), f"can't be read ({error.strerror})") from None
