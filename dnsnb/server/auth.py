"""Who may do what: tokens with roles and channel patterns, login cookies, and which Host and Origin are ours.

Decides on values alone: knows no HTTP library, no sockets. Tokens are held and kept as salted hashes only.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from dnsnb.errors import SettingError

#: Roles from least to most: reading; changing what DNS does; managing settings and tokens.
ROLES = ("viewer", "operator", "admin")
MAX_TOKENS = 256
MAX_LOGGED_OUT = 4096
MAX_PATTERNS = 32
SESSION_SECONDS = 12 * 3600.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATTERN = re.compile(r"[a-z*][a-z0-9/*-]{0,63}")
_TOKEN = re.compile(r"[\x21-\x7e]{4,512}")


@dataclass(eq=False)
class Grant:
    """What a token allows. `channels` are patterns in which `*` stands for any run of characters."""

    name: str
    role: str = "admin"
    channels: tuple[str, ...] = ("*",)
    created: int = 0
    salt: bytes = field(default=b"", repr=False)
    digest: bytes = field(default=b"", repr=False)
    login_key: bytes = field(
        default=b"", repr=False
    )  # signs cookies; known while the token's text was seen, never kept
    revoked: bool = False

    def may(self, role: str) -> bool:
        """Whether this grant reaches a role."""
        return not self.revoked and ROLES.index(self.role) >= ROLES.index(role)

    def may_read(self, channel: str) -> bool:
        """Whether this grant may read a channel."""
        return any(matches(pattern, channel) for pattern in self.channels)

    def public(self) -> dict[str, Any]:
        """What may be shown of it: never the hash."""
        return {"name": self.name, "role": self.role, "channels": list(self.channels), "created": self.created}


class Tokens:
    """All grants. The token's text leaves `create` once and is nowhere afterwards; `on_revoke` hears of each end."""

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._grants: dict[str, Grant] = {}
        self._logged_out: dict[bytes, int] = {}  # the cookies' digests, and when they end by themselves
        self.on_revoke: list[Callable[[Grant], None]] = []

    def __repr__(self) -> str:
        return f"<{len(self._grants)} tokens>"

    def create(
        self, name: str, role: str = "viewer", channels: Iterable[str] = ("*",), token: str | None = None
    ) -> tuple[str, Grant]:
        """Return a new token's text (random unless given) and its grant; raises SettingError for a wrong value."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SettingError("name", name, "1 to 64 of letters, digits, '.', '_' and '-'")
        if name in self._grants:
            raise SettingError("name", name, "there is a token of this name; revoke it first")
        if len(self._grants) >= MAX_TOKENS:
            raise SettingError("name", name, f"there are {MAX_TOKENS} tokens already; revoke some first")
        if role not in ROLES:
            raise SettingError("role", role, f"one of {', '.join(ROLES)}")
        patterns = check_patterns(channels)
        text = _new_token() if token is None else token
        if not _TOKEN.fullmatch(text):
            raise SettingError("token", "…", "4 to 512 printable ASCII characters without spaces")
        if token is not None and self.verify(text) is not None:
            raise SettingError("token", "…", "another name has this token")
        salt = secrets.token_bytes(16)
        grant = Grant(name, role, patterns, int(self._wall() * 1000), salt, _digest(salt, text), _login_key(text))
        self._grants[name] = grant
        return text, grant

    def verify(self, text: str) -> Grant | None:
        """Return the grant of a token, or None; takes the same time whichever token matches."""
        found: Grant | None = None
        for grant in self._grants.values():
            if hmac.compare_digest(_digest(grant.salt, text), grant.digest):
                found = grant
        if found is not None and not found.login_key:
            found.login_key = _login_key(text)
        return found

    def revoke(self, name: str) -> bool:
        """End a token, its logins and its streams; False when there is none of this name."""
        grant = self._grants.pop(name, None)
        if grant is None:
            return False
        grant.revoked = True
        for callback in tuple(self.on_revoke):
            callback(grant)
        return True

    @property
    def grants(self) -> list[Grant]:
        """All grants, oldest first."""
        return list(self._grants.values())

    # --- logins: a cookie is a signed statement that somebody showed a token; it holds no token ---

    def open_session(self, grant: Grant) -> str:
        """Return the cookie of a new login, which ends after `SESSION_SECONDS` or with its token.

        It outlives a restart of a server that is given the same token, so that a browser's stream comes back by itself.
        So does its log-out where there is a folder; without one, a restart under the same token forgets who logged out.
        """
        said = f"{int(self._wall() + SESSION_SECONDS)}.{secrets.token_hex(8)}"
        return f"{said}.{_sign(grant, said)}.{grant.name}"

    def session(self, cookie: str) -> Grant | None:
        """Return the grant behind a login's cookie, or None."""
        parts = cookie.split(".", 3)
        if len(parts) != 4 or not cookie.isascii() or len(cookie) > 256:
            return None
        until, nonce, signature, name = parts
        grant = self._grants.get(name)
        if grant is None or not grant.login_key or _digest(b"", cookie) in self._logged_out:
            return None
        if not hmac.compare_digest(_sign(grant, f"{until}.{nonce}"), signature):
            return None
        return grant if int(until) > self._wall() else None

    def close_session(self, cookie: str) -> None:
        """Log out: the cookie is not taken any more."""
        if self.session(cookie) is not None:
            now = self._wall()
            self._logged_out = {d: until for d, until in self._logged_out.items() if until > now}
            self._logged_out[_digest(b"", cookie)] = int(cookie.partition(".")[0])
            while len(self._logged_out) > MAX_LOGGED_OUT:
                del self._logged_out[next(iter(self._logged_out))]

    @property
    def logged_out(self) -> dict[str, int]:
        """The logins that were ended before their time, to be kept: a digest of each, and when it ends by itself."""
        return {digest.hex(): until for digest, until in self._logged_out.items()}

    def log_out(self, ended: Mapping[str, Any]) -> None:
        """Take logins that were ended in an earlier run; what can't be read is passed over."""
        for digest, until in list(ended.items())[:MAX_LOGGED_OUT]:
            if re.fullmatch(r"[0-9a-f]{64}", digest) and isinstance(until, int) and until > self._wall():
                self._logged_out[bytes.fromhex(digest)] = until

    # --- keeping ---

    def dump(self, *leave_out: str) -> list[dict[str, Any]]:
        """Return the grants, but some, for a file that only the owner may read: hashes, no tokens."""
        return [
            {**grant.public(), "salt": grant.salt.hex(), "sha256": grant.digest.hex()}
            for name, grant in self._grants.items()
            if name not in leave_out
        ]

    def load(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add kept grants; a row whose name is taken is passed over. Raises SettingError for a row we can't read."""
        for number, row in enumerate(rows):
            try:
                grant = Grant(
                    str(row["name"]),
                    str(row["role"]),
                    check_patterns(row["channels"]),
                    int(row["created"]),
                    bytes.fromhex(row["salt"]),
                    bytes.fromhex(row["sha256"]),
                )
                if grant.role not in ROLES or not _NAME.fullmatch(grant.name) or len(grant.digest) != 32:
                    raise ValueError("wrong role, name or hash")
            except (KeyError, TypeError, ValueError) as error:
                raise SettingError(f"tokens[{number}]", "…", f"not a kept token: {error}") from None
            if len(self._grants) < MAX_TOKENS:
                self._grants.setdefault(grant.name, grant)


def check_patterns(channels: Iterable[str]) -> tuple[str, ...]:
    """Return channel patterns, checked: lower-case letters, digits, '/', '-' and `*`."""
    if isinstance(channels, str):
        channels = [channels]
    patterns = tuple(dict.fromkeys(channels))
    if not patterns or len(patterns) > MAX_PATTERNS:
        raise SettingError("channels", len(patterns), f"1 to {MAX_PATTERNS} channel patterns")
    for pattern in patterns:
        if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern) or "**" in pattern:
            raise SettingError("channels", pattern, "a channel such as 'dns/status', or a pattern such as 'dns/log/*'")
    return patterns


@lru_cache(maxsize=1024)
def matches(pattern: str, channel: str) -> bool:
    """Whether a channel is of a pattern; `*` stands for any run of characters, '/' included."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), channel) is not None


def bearer(header: str | None) -> str | None:
    """Return the token of an Authorization header, or None when it holds none."""
    scheme, _, token = (header or "").partition(" ")
    token = token.strip(" ")
    return token if scheme.lower() == "bearer" and _TOKEN.fullmatch(token) else None


def host_is_ours(host: str, names: Iterable[str], local: str | None) -> bool:
    """Whether a Host header names this server: a loopback name or address, a name we were told, or where it came in.

    A foreign name that resolves to us (DNS rebinding) is refused; an address literal can't be rebound. The port is not
    looked at: tunnels change it.
    """
    name = _host_name(host)
    if name is None:
        return False
    if name == "localhost" or name in {n.lower().rstrip(".") for n in names}:
        return True
    try:
        address = ipaddress.ip_address(name)
        return address.is_loopback or (local is not None and address == ipaddress.ip_address(local.partition("%")[0]))
    except ValueError:
        return False


def origin_is_ours(origin: str, host: str) -> bool:
    """Whether an Origin header (not "null") is of the same host and port as the request's Host header."""
    try:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or parts.path or parts.query or parts.username is not None:
            return False
        default = 443 if parts.scheme == "https" else 80
        mine = urlsplit(f"{parts.scheme}://{host}")
        return _host_name(parts.netloc) == _host_name(host) and (parts.port or default) == (mine.port or default)
    except ValueError:
        return False


def _host_name(host: str) -> str | None:
    """Return the name or address of HOST, HOST:PORT or [V6]:PORT, without a final dot; None when malformed."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]{1,253}))(?::[0-9]{0,5})?", host)
    if found is None:
        return None
    if found[1]:
        return found[1].lower()
    name: str = found[2].lower()
    return name.removesuffix(".")


def _login_key(text: str) -> bytes:
    return hmac.digest(text.encode(), b"dnsnb login", "sha256")


def _sign(grant: Grant, said: str) -> str:
    return hmac.digest(grant.login_key, f"{grant.name} {said}".encode(), "sha256").hex()


def _new_token() -> str:
    """Return a random token that no command line takes for an option: one in 64 would begin with a hyphen."""
    while (text := secrets.token_urlsafe(32)).startswith("-"):
        pass
    return text


def _digest(salt: bytes, text: str) -> bytes:
    return hashlib.sha256(salt + text.encode()).digest()
