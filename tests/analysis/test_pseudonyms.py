"""Pseudonyms: nothing of the true values is left, equal stays equal, near stays near, on every engine."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from frame_kinds import KINDS, as_kind, rich_table

import dnsnb
from dnsnb import schema, simulate
from dnsnb.analysis.pseudonyms import Pseudonyms, pseudonymise
from dnsnb.cli import main
from dnsnb.dns.privacy import Privacy
from dnsnb.errors import SettingError

KEY = b"0123456789abcdef0123456789abcdef"
made = Pseudonyms(KEY)


def common(one: str, other: str) -> int:
    """Leading bits that two addresses share."""
    a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return a.max_prefixlen - (int(a) ^ int(b)).bit_length()


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_addresses_keep_their_prefixes(one: Any, other: Any) -> None:
    a, b = made.tokens("client", [str(one), str(other)])
    assert common(a, b) == common(str(one), str(other))


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_so_do_those_of_version_6(one: Any, other: Any) -> None:
    a, b = made.tokens("answer", [str(one), str(other)])
    if "::" not in (str(one), str(other)):
        assert common(a, b) == common(str(one), str(other))


def test_the_server_s_log_has_the_same_clients() -> None:
    server = Privacy(("pseudonyms",), KEY)
    assert made.tokens("client", ["10.0.0.1"]) == [server.pseudonym("10.0.0.1")]


def one(kind: str, text: str) -> str:
    return made.tokens(kind, [text])[0]


def test_names_go_by_their_registered_domain() -> None:
    domain = one("name", "example.co.uk")
    assert domain.endswith(".co.uk")
    assert domain.count(".") == 2
    www, mail, deep = (one("name", f"{sub}.example.co.uk") for sub in ("www", "mail", "a.www"))
    assert www.endswith("." + domain)
    assert mail.endswith("." + domain)
    assert www != mail
    assert deep.endswith("." + www)
    assert one("name", "www.example.com").split(".")[0] != www.split(".")[0]
    assert one("name", "me.github.io").endswith(".github.io")
    assert [one("name", n) for n in (".", "com", "co.uk", "github.io", "local")] == [
        ".", "com", "co.uk", "github.io", "local"
    ]  # fmt: skip
    assert one("name", "printer") not in ("printer", "")
    assert one("name", "nas.lan").endswith(".lan")
    assert "secret-project" not in one("name", "nas.secret-project")
    assert one("name", "_ldap._tcp.example.com").startswith("_ldap._tcp.d")


def test_reverse_names_are_those_of_the_pseudonym() -> None:
    client = ipaddress.ip_address(one("client", "192.0.2.7"))
    assert one("name", "7.2.0.192.in-addr.arpa") == client.reverse_pointer
    assert one("name", "2.0.192.in-addr.arpa") == client.reverse_pointer.split(".", 1)[1]
    six = ipaddress.ip_address("2001:db8::7")
    assert one("name", six.reverse_pointer) == ipaddress.ip_address(one("client", str(six))).reverse_pointer
    assert one("name", "b._dns-sd._udp.0.2.0.192.in-addr.arpa").endswith(".in-addr.arpa")


def test_answers_rules_and_servers() -> None:
    name = one("name", "mx.example.com")
    assert one("answer", "10 mx.example.com") == f"10 {name}"
    assert one("answer", "mx.example.com.") == name
    assert one("answer", "0.0.0.0") == "0.0.0.0"
    for text in ('"v=spf1 include:example.com"', "1 . alpn=h2 ipv4hint=192.0.2.1", "\\# 3 616263"):
        assert not set("=:\\ ") & set(one("answer", text))
    domain = one("name", "example.com")
    assert [one("rule", r) for r in ("example.com", "*.example.com", "||example.com^", "example.com$important")] == [
        domain, f"*.{domain}", f"||{domain}^", f"{domain}$important"
    ]  # fmt: skip
    assert one("rule", "example.com (CNAME mx.example.com)") == f"{domain} (CNAME {name})"
    assert "ads" not in one("rule", "/^ads[0-9]/")
    assert one("server", "192.0.2.53") == one("client", "192.0.2.53")
    assert "example" not in one("server", "tls://dns.example.com")


NAMES = st.lists(st.text("abcz019-_", min_size=1, max_size=20), min_size=1, max_size=6).map(".".join)


@given(st.lists(NAMES, min_size=2, max_size=8, unique=True))
def test_different_names_stay_different_and_are_hidden(names: list[str]) -> None:
    tokens = made.tokens("name", names)
    assert len(set(tokens)) == len(names)
    assert tokens == Pseudonyms(KEY).tokens("name", names)
    for name, token in zip(names, tokens, strict=True):
        assert token.count(".") == name.count(".")
        assert len(token) <= 253


def as_frame(found: Any) -> pd.DataFrame:
    table = nw.from_native(found).lazy().collect(backend="pyarrow").to_native()
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(number, field.name, table.column(number).cast(pa.string()))
    return schema.to_frame(table)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_on_every_engine(kind: str) -> None:
    log = as_kind(rich_table(), kind)
    found = pseudonymise(log, KEY)
    assert type(found) is type(log)
    first = as_frame(pseudonymise(as_kind(rich_table(), "pandas"), KEY))
    pd.testing.assert_frame_equal(as_frame(found), first, check_categorical=False)


def test_nothing_of_the_true_values_is_left() -> None:
    frame = simulate.frame(hours=1).assign(extra="10.0.0.1", note="kept")
    found = pseudonymise(frame, KEY, keep=["note"])
    assert list(map(str, found.dtypes)) == list(map(str, frame.drop(columns="extra").dtypes))
    assert "extra" not in found
    assert set(found["note"]) == {"kept"}
    for column in ("client", "client_name", "upstream", "rule", "qname", "source"):
        assert set(found[column].dropna()).isdisjoint(frame[column].dropna())
    given = {text for answers in frame["answers"] for text in answers} - {"0.0.0.0", "::"}
    assert given.isdisjoint(text for answers in found["answers"] for text in answers)
    assert found["time"].equals(frame["time"])
    pd.testing.assert_series_equal(found["qname"].value_counts(sort=False).sort_values().reset_index(drop=True),
                                   frame["qname"].value_counts(sort=False).sort_values().reset_index(drop=True),
                                   check_names=False)  # fmt: skip
    assert found["answers"].isna().equals(frame["answers"].isna())
    assert not pseudonymise(frame, KEY[::-1])["qname"].equals(found["qname"])
    assert pseudonymise(found.head(0), KEY).empty
    # a rule still names what it blocked, so that the log can be worked with
    blocked = found[found["status"] == "blocked"]
    assert all(q.endswith(r) for q, r in zip(blocked["qname"], blocked["rule"], strict=True))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(SettingError, match="at least 16"):
        pseudonymise(schema.empty_frame(), b"short")
    assert pseudonymise(pd.DataFrame({"qname": ["a.test"]}), "x" * 200)["qname"][0].endswith(".test")


def test_it_is_at_the_door() -> None:
    frame = simulate.frame(hours=0.1)
    assert dnsnb.pseudonymise is pseudonymise
    assert frame.dns.pseudonymise(KEY)["qname"].equals(pseudonymise(frame, KEY)["qname"])
    assert "pseudonymise" in dir(frame.dns)


# --- the command ---


def test_the_command_writes_what_can_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, key, out = tmp_path / "log.parquet", tmp_path / "key", tmp_path / "shown.parquet"
    frame = simulate.frame(hours=0.3)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), log)
    key.write_bytes(KEY + b"\n")
    assert main(["pseudonymise", str(log), "--key", str(key), "--out", str(out)]) == 0
    assert "written" in capsys.readouterr().out
    shown = pq.read_table(out).to_pandas()
    assert sorted(shown["qname"]) == sorted(pseudonymise(frame, KEY)["qname"])
    assert shown["source"].nunique() == 1
    assert "log.parquet" not in out.read_bytes().decode("latin-1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--key", "nothing", "--out", "x.csv"], "can't be read"),
        (["--key", "SHORT", "--out", "x.csv"], "at least 16"),
        (["--key", "KEY", "--out", "x.doc"], ".parquet, .csv, .jsonl"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], says: str, tmp_path: Path, capsys: Any) -> None:
    log = tmp_path / "log.csv"
    log.write_text("time,client,qname\n")
    for name, text in (("SHORT", b"abc"), ("KEY", KEY)):
        (tmp_path / name).write_bytes(text)
    given = [str(tmp_path / a) if a in ("SHORT", "KEY", "nothing", "x.csv", "x.doc") else a for a in arguments]
    assert main(["pseudonymise", str(log), *given]) == 2
    assert says in capsys.readouterr().err
