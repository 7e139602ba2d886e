"""Tokens, roles, channel patterns, logins; which Host and which Origin are ours."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

import pytest

from dnsnb.errors import SettingError
from dnsnb.server.auth import MAX_TOKENS, SESSION_SECONDS, Tokens, bearer, check_patterns, host_is_ours, matches
from dnsnb.server.auth import origin_is_ours as origin


def test_a_token_is_known_by_its_hash_alone() -> None:
    tokens = Tokens()
    text, grant = tokens.create("kiosk", "viewer", ["dns/status"])
    assert tokens.verify(text) is grant
    assert tokens.verify(text + "x") is None
    assert tokens.verify("") is None
    held = json.dumps(tokens.dump()) + repr(tokens) + repr(grant) + repr(vars(tokens)) + json.dumps(grant.public())
    assert text not in held
    assert grant.digest.hex() not in repr(grant) + json.dumps(grant.public())


def test_no_token_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["-first", "--second", "third-"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _size: next(made))
    assert Tokens().create("kiosk", "viewer", ["*"])[0] == "third-"


def test_kept_tokens_hold_after_a_restart() -> None:
    before, after = Tokens(), Tokens()
    text, _ = before.create("kiosk", "operator", ["dns/log/*"])
    after.load(json.loads(json.dumps(before.dump())))
    grant = after.verify(text)
    assert grant is not None
    assert (grant.name, grant.role, grant.channels) == ("kiosk", "operator", ("dns/log/*",))


@pytest.mark.parametrize(
    "row",
    [{}, {"name": "x"}, {"name": "x", "role": "god", "channels": ["*"], "created": 1, "salt": "", "sha256": "00" * 32}],
)
def test_a_kept_token_that_cannot_be_read_is_an_error(row: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=r"tokens\[0\]"):
        Tokens().load([row])


@pytest.mark.parametrize(
    ("has", "needs", "good"),
    [
        ("viewer", "viewer", True),
        ("viewer", "operator", False),
        ("viewer", "admin", False),
        ("operator", "viewer", True),
        ("operator", "operator", True),
        ("operator", "admin", False),
        ("admin", "admin", True),
    ],
)
def test_roles(has: str, needs: str, good: bool) -> None:
    assert Tokens().create("t", has)[1].may(needs) is good


@pytest.mark.parametrize(
    ("pattern", "channel", "good"),
    [
        ("*", "dns/log/", True),
        ("dns/*", "dns/log/event", True),
        ("dns/log/*", "dns/log/", True),
        ("dns/log/*", "dns/log/event", True),
        ("dns/log/*", "dns/logs", False),
        ("dns/log/", "dns/log/event", False),
        ("*/status", "dns/status", True),
        ("dns/st*us", "dns/status", True),
        ("dns/status", "dns/statusx", False),
    ],
)
def test_channel_patterns(pattern: str, channel: str, good: bool) -> None:
    assert matches(pattern, channel) is good


@pytest.mark.parametrize("bad", ["", "DNS/status", "dns/sta?us", "a.b", "dns/[a]", "**", "x" * 65, "dns/\n", 5])
def test_a_wrong_pattern_is_an_error(bad: object) -> None:
    with pytest.raises(SettingError, match="channels"):
        check_patterns([bad])  # type: ignore[list-item]


def test_too_many_patterns_or_none_are_an_error() -> None:
    for count in (0, 33):
        with pytest.raises(SettingError, match="channels"):
            check_patterns(f"dns/{n}" for n in range(count))


@pytest.mark.parametrize(
    ("name", "role", "token"),
    [
        ("", "viewer", None),
        ("a b", "viewer", None),
        ("x" * 65, "viewer", None),
        ("x", "god", None),
        ("x", "viewer", "abc"),
        ("x", "viewer", "with space"),
        ("x", "viewer", "ünïcode-token"),
    ],
)
def test_a_wrong_token_is_an_error_that_does_not_tell_it(name: str, role: str, token: str | None) -> None:
    with pytest.raises(SettingError) as error:
        Tokens().create(name, role, token=token)
    assert token is None or token not in str(error.value)


def test_names_and_tokens_are_taken_once() -> None:
    tokens = Tokens()
    tokens.create("a", token="the-same-token")
    with pytest.raises(SettingError, match="name"):
        tokens.create("a")
    with pytest.raises(SettingError, match="token"):
        tokens.create("b", token="the-same-token")


def test_tokens_are_bounded() -> None:
    tokens = Tokens()
    for n in range(MAX_TOKENS):
        tokens.create(f"t{n}")
    with pytest.raises(SettingError, match="256"):
        tokens.create("one-more")


def test_revoking_ends_token_and_logins_and_tells() -> None:
    tokens, told = Tokens(), []
    tokens.on_revoke.append(told.append)
    text, grant = tokens.create("kiosk")
    key = tokens.open_session(grant)
    assert tokens.session(key) is grant
    assert tokens.revoke("kiosk")
    assert not tokens.revoke("kiosk")
    assert tokens.verify(text) is None
    assert tokens.session(key) is None
    assert not grant.may("viewer")
    assert told == [grant]


def test_a_login_ends_by_itself_and_by_logging_out() -> None:
    now = [1e9]
    tokens = Tokens(wall=lambda: now[0])
    _, grant = tokens.create("kiosk")
    first, second = tokens.open_session(grant), tokens.open_session(grant)
    tokens.close_session(first)
    assert tokens.session(first) is None
    now[0] += SESSION_SECONDS - 1
    assert tokens.session(second) is grant
    now[0] += 1
    assert tokens.session(second) is None


def test_a_login_outlives_a_restart_with_the_same_token_only() -> None:
    before, same, other, kept = Tokens(), Tokens(), Tokens(), Tokens()
    _, grant = before.create("admin", token="the-same-token")
    cookie = before.open_session(grant)
    assert same.session(cookie) is None
    _, again = same.create("admin", token="the-same-token")
    assert same.session(cookie) is again
    other.create("admin", token="another-token")
    assert other.session(cookie) is None
    kept.load(before.dump())
    assert kept.session(cookie) is None  # what is kept on disk can't forge a login
    assert kept.verify("the-same-token") is not None
    assert kept.session(cookie) is not None


def test_a_login_that_was_ended_stays_so_after_a_restart() -> None:
    now = [1e9]
    before, after = Tokens(wall=lambda: now[0]), Tokens(wall=lambda: now[0])
    for tokens in (before, after):
        tokens.create("admin", token="the-same-token")
    ended, other = (before.open_session(before.grants[0]) for _ in range(2))
    before.close_session(ended)
    after.log_out(before.logged_out | {"not a digest": 1, "0" * 64: "never"})
    assert after.session(ended) is None
    assert after.session(other) is after.grants[0]
    now[0] += SESSION_SECONDS
    before.close_session(before.open_session(before.grants[0]))
    assert len(before.logged_out) == 1  # what has ended by itself is not kept


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c[:-5] + "other",
        lambda c: "9" + c,
        lambda c: c.replace(".", "", 1),
        lambda c: c.upper(),
        lambda c: c + "x" * 300,
        lambda c: "",
        lambda c: "...",
        lambda c: "x.y.z.admin",
        lambda c: c.split(".")[0] + ".." + "." + "admin",
        lambda c: c + "\u0661",
    ],
)
def test_a_forged_login_is_none(change: Callable[[str], str]) -> None:
    tokens = Tokens()
    _, grant = tokens.create("admin")
    tokens.create("other")
    cookie = tokens.open_session(grant)
    assert tokens.session(cookie) is grant
    assert tokens.session(change(cookie)) is None


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abcdefgh", "abcdefgh"),
        ("bearer abcdefgh", "abcdefgh"),
        ("Bearer  abcdefgh ", "abcdefgh"),
        ("Basic abcdefgh", None),
        ("Bearer", None),
        ("Bearer abc def", None),
        ("abcdefgh", None),
        ("", None),
        (None, None),
    ],
)
def test_bearer(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("localhost", True),
        ("localhost:8053", True),
        ("LOCALHOST.:1", True),
        ("127.0.0.1:8053", True),
        ("127.9.9.9", True),
        ("[::1]:8053", True),
        ("[::1]", True),
        ("192.0.2.5:80", True),  # the address that the request came in on
        ("dns.home.example", True),
        ("DNS.home.example.:443", True),
        ("192.0.2.6", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("::1", False),
        ("[::1", False),
        ("[fe80::1]", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("", False),
        ("localhost:80:80", False),
        ("localhost:x", False),
        ("local host", False),
        ("localhost/..", False),
    ],
)
def test_host(host: str, good: bool) -> None:
    assert host_is_ours(host, ["dns.home.example"], "192.0.2.5") is good


@pytest.mark.parametrize(
    ("given", "host", "good"),
    [
        ("http://localhost:8053", "localhost:8053", True),
        ("http://LOCALHOST:8053", "localhost:8053", True),
        ("http://localhost", "localhost:80", True),
        ("https://dns.example", "dns.example", True),
        ("http://[::1]:8053", "[::1]:8053", True),
        ("http://localhost:8888", "localhost:8053", False),
        ("http://127.0.0.1:8053", "localhost:8053", False),
        ("http://evil.example", "localhost:8053", False),
        ("http://localhost:8053/x", "localhost:8053", False),
        ("http://user@localhost:8053", "localhost:8053", False),
        ("file://localhost:8053", "localhost:8053", False),
        ("http://localhost:99999", "localhost:8053", False),
        ("http://[::1", "localhost:8053", False),
        ("", "localhost:8053", False),
    ],
)
def test_origin(given: str, host: str, good: bool) -> None:
    assert origin(given, host) is good
