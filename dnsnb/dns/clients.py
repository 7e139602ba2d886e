"""Who asks: names for addresses, and groups of clients with lists, upstreams and hours of their own.

No I/O; knows schedule. A client is told by its address alone, never by what its message says (EDNS client subnet).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dnsnb.dns.schedule import Schedule
from dnsnb.dns.upstream import parse_upstream
from dnsnb.errors import SettingError

ALLOW_ONLY = "allow_only"
MAX_CLIENTS = 10_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Client:
    """A name for addresses (single ones or networks, as text)."""

    name: str
    addresses: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"name": self.name, "addresses": list(self.addresses)}


@dataclass(frozen=True)
class Group:
    """Clients that are treated alike. `members`: names of clients, addresses, networks.

    `lists` are its own, beside those of everybody unless `inherit` is false; `schedules` say when a list holds, by
    name (the key "allow_only" says when nothing else resolves); `upstreams` empty: those of everybody.
    """

    name: str
    members: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    inherit: bool = True
    allow_only: bool = False
    upstreams: tuple[str, ...] = ()
    schedules: Mapping[str, Schedule] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.name,
            "members": list(self.members),
            "lists": list(self.lists),
            "inherit": self.inherit,
            "allow_only": self.allow_only,
            "upstreams": list(self.upstreams),
            "schedules": {key: value.text for key, value in self.schedules.items()},
        }


class Identity(NamedTuple):
    """Who an address is: its `name` (None when none was given) and its `groups`, in the order they were written."""

    address: str
    name: str | None
    groups: tuple[Group, ...]


class Directory:
    """All clients and groups. An address gets the name of the narrowest network that has one."""

    def __init__(self, clients: Iterable[Client] = (), groups: Iterable[Group] = ()) -> None:
        self.clients = tuple(clients)
        self.groups = tuple(groups)
        if len(self.clients) > MAX_CLIENTS:
            raise SettingError("clients", len(self.clients), f"{MAX_CLIENTS:,} is the most")
        _unique([c.name for c in self.clients], "clients")
        _unique([g.name for g in self.groups], "groups")
        self._exact: dict[str, str] = {}
        self._networks: list[tuple[Network, str]] = []
        for client in self.clients:
            for text in client.addresses:
                network = parse_network(text, f"clients.{client.name}.addresses")
                if network.num_addresses == 1:
                    self._exact[str(network.network_address)] = client.name
                else:
                    self._networks.append((network, client.name))
        self._networks.sort(key=lambda pair: -pair[0].prefixlen)
        names = {c.name for c in self.clients}
        self._members: list[tuple[Group, frozenset[str], tuple[Network, ...]]] = []
        for group in self.groups:
            named = frozenset(m for m in group.members if m in names)
            others = [m for m in group.members if m not in names]
            self._members.append(
                (group, named, tuple(parse_network(m, f"groups.{group.name}.members") for m in others))
            )

    def identify(self, address: str) -> Identity:
        """Return who an address is."""
        parsed = _address(address)
        if parsed is None:
            return Identity(address, None, ())
        name = self._exact.get(str(parsed))
        if name is None:
            name = next((n for network, n in self._networks if parsed in network), None)
        groups = tuple(
            group
            for group, named, networks in self._members
            if (name is not None and name in named) or any(parsed in network for network in networks)
        )
        return Identity(address, name, groups)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"clients": [c.as_dict() for c in self.clients], "groups": [g.as_dict() for g in self.groups]}


def goes_by(identity: Identity, specs: Iterable[str]) -> frozenset[str]:
    """Return those of `specs` (names, addresses, networks, names of groups) that mean this client."""
    parsed = _address(identity.address)
    known = {identity.address, identity.name, *(group.name for group in identity.groups)}
    found = set()
    for spec in specs:
        if spec in known:
            found.add(spec)
        elif parsed is not None:
            try:
                if parsed in ipaddress.ip_network(spec, strict=False):
                    found.add(spec)
            except ValueError:
                continue
    return frozenset(found)


def parse_client(item: Mapping[str, Any], setting: str = "clients") -> Client:
    """Return a client given as ``{"name": "tablet", "addresses": ["10.0.0.5"]}``; raises SettingError."""
    _known(item, ("name", "addresses"), setting)
    name = _name(item.get("name"), f"{setting}.name")
    addresses = _texts(item.get("addresses", ()), f"{setting}.addresses")
    for text in addresses:
        parse_network(text, f"{setting}.addresses")
    return Client(name, addresses)


def parse_group(item: Mapping[str, Any], setting: str = "groups") -> Group:
    """Return a group given as a mapping with the fields of `Group`, schedules as text; raises SettingError."""
    _known(item, ("name", "members", "lists", "inherit", "allow_only", "upstreams", "schedules"), setting)
    name = _name(item.get("name"), f"{setting}.name")
    for key in ("inherit", "allow_only"):
        if not isinstance(item.get(key, True), bool):
            raise SettingError(f"{setting}.{key}", item[key], "must be true or false")
    upstreams = _texts(item.get("upstreams", ()), f"{setting}.upstreams")
    for number, text in enumerate(upstreams):
        if parse_upstream(text, f"{setting}.upstreams[{number}]").scheme == "recorded":
            why = "who may say who asks may have no file read; a recording is for the setting upstreams"
            raise SettingError(f"{setting}.upstreams[{number}]", text, why)
    schedules = item.get("schedules", {})
    if not isinstance(schedules, Mapping):
        raise SettingError(f"{setting}.schedules", schedules, "must be a mapping of list name to times")
    return Group(
        name,
        _texts(item.get("members", ()), f"{setting}.members"),
        _texts(item.get("lists", ()), f"{setting}.lists"),
        item.get("inherit", True),
        item.get("allow_only", False),
        upstreams,
        {key: Schedule(value, setting=f"{setting}.schedules.{key}") for key, value in schedules.items()},
    )


def parse_network(text: str, setting: str) -> Network:
    """Return an address or a network given as text; raises SettingError naming the culprit."""
    try:
        return ipaddress.ip_network(text.split("%", 1)[0], strict=False)
    except ValueError:
        raise SettingError(
            setting, text, "neither the name of a client nor an address or network, such as 10.0.0.5 or 10.0.1.0/24"
        ) from None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(text.split("%", 1)[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _known(item: Mapping[str, Any], keys: tuple[str, ...], setting: str) -> None:
    if not isinstance(item, Mapping):
        raise SettingError(setting, item, f"must be an object with {', '.join(keys)}")
    for key in item:
        if key not in keys:
            raise SettingError(f"{setting}.{key}", item[key], f"not known; there are {', '.join(keys)}")


def _name(value: object, setting: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 100 or not value.isprintable():
        raise SettingError(setting, value, "a name is 1 to 100 printable characters")
    return value.strip()


def _texts(value: object, setting: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text.strip() for text in value):
        raise SettingError(setting, value, "must be a list of texts")
    return tuple(text.strip() for text in value)


def _unique(names: list[str], setting: str) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise SettingError(setting, name, "there twice; names must differ")
