"""Settings: each wrong value is named with what would be right; each source outranks the one before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dnsnb.config import AT_HAND, AT_START, Settings, load_settings, split_names
from dnsnb.errors import SettingError


@pytest.mark.parametrize(
    ("setting", "value", "right"),
    [
        ("block_mode", "nul", "'null', 'nxdomain', 'nodata', 'refused' or 'address'"),
        ("block_ttl", -1, "greater than or equal to 0"),
        ("block_ttl", 100_000, "less than or equal to 86400"),
        ("cache_entries", "many", "integer"),
        ("log_days", 0, "greater than 0"),
        ("upstreams", ["gopher://x"], "udp://"),
        ("upstreams", ["1.1.1.1", "tls://"], "such as 1.1.1.1"),
        ("routes", {"lan": ["ftp://1.1.1.1"]}, "udp://"),
        ("block_addresses", ["here"], "IPv4 or IPv6"),
        ("allow_clients", ["10.0.0.0/33"], "192.168.0.0/16"),
        ("token", "short", "at least 8"),
        ("tls_key", __file__, "tls_cert and tls_key"),
        ("tls_cert", "/nowhere/cert.pem", "a file that can be read"),
        ("tls_cert", "c" * 300, "a file that can be read"),
        ("hosts_files", ["\0"], "no path"),
        ("privacy", ["everything"], "'no-names'"),
        ("log_diver", "memory", "did you mean 'log_driver'"),
    ],
)
def test_a_wrong_value_is_named(setting: str, value: Any, right: str) -> None:
    with pytest.raises(SettingError) as error:
        Settings(**{setting: value})
    assert error.value.setting.split("[")[0].split(".")[0] == setting
    assert right in str(error.value)


def test_mode_address_needs_addresses() -> None:
    with pytest.raises(SettingError) as error:
        Settings(block_mode="address")
    assert error.value.setting == "block_addresses"


def test_a_token_is_shown_nowhere() -> None:
    settings = Settings(token="very-secret-token")
    for shown in (repr(settings), str(settings), json.dumps(settings.public())):
        assert "very-secret" not in shown
    with pytest.raises(SettingError) as error:
        Settings(token="seven77")
    assert "seven77" not in str(error.value)


def test_sources_outrank_each_other(tmp_path: Path) -> None:
    file = tmp_path / "dnsnb.toml"
    file.write_text('block_ttl = 1\ncache_entries = 1\nlog_days = 1\nstrategy = "fastest"\nupstreams = ["192.0.2.1"]\n')
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "settings.json").write_text('{"log_days": 3, "strategy": "parallel", "token": "never-from-here"}')
    environ = {
        "DNSNB_CACHE_ENTRIES": "2",
        "DNSNB_LOG_DAYS": "2",
        "DNSNB_UPSTREAMS": "192.0.2.2, 192.0.2.3",
        "HOME": "/",
    }
    settings, sources = load_settings(file, environ, folder=folder, strategy="balanced", block_mode=None)
    assert (settings.block_ttl, settings.cache_entries, settings.log_days, settings.strategy) == (1, 2, 3, "balanced")
    assert settings.upstreams == ("192.0.2.2", "192.0.2.3")
    found = {
        key: sources[key] for key in ("block_ttl", "cache_entries", "log_days", "strategy", "folder", "block_mode")
    }
    assert found == {
        "block_ttl": "file", "cache_entries": "environment", "log_days": "kept", "strategy": "given",
        "folder": "given", "block_mode": "default",
    }  # fmt: skip
    assert {key: settings.source(key) for key in found} == found
    assert settings.token is None


def test_names_of_other_sources_are_named_as_they_were_written(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        load_settings(environ={"DNSNB_BLOK_MODE": "null"})
    assert error.value.setting == "DNSNB_BLOK_MODE"
    assert "block_mode" in error.value.why
    for text, why in (("block_mode = ", "TOML"), ('blok_mode = "null"', "block_mode")):
        (tmp_path / "x.toml").write_text(text)
        with pytest.raises(SettingError) as error:
            load_settings(tmp_path / "x.toml")
        assert why in str(error.value)
    with pytest.raises(SettingError) as error:
        load_settings(tmp_path / "absent.toml")
    assert error.value.setting == "config"
    (tmp_path / "settings.json").write_text("[1")
    with pytest.raises(SettingError) as error:
        load_settings(folder=tmp_path)
    assert error.value.setting == "folder"


def test_changed_settings_are_checked_and_none_goes_back() -> None:
    settings = Settings(block_ttl=5, block_mode="refused")
    other = settings.changed(block_ttl=None, cache_entries=10)
    assert (other.block_ttl, other.cache_entries, other.block_mode) == (60, 10, "refused")
    assert (other.source("block_ttl"), other.source("cache_entries")) == ("default", "changed")
    assert settings.block_ttl == 5
    with pytest.raises(SettingError):
        settings.changed(block_ttl=-1)
    with pytest.raises(SettingError):
        settings.changed(nonsense=None)  # also when it is put back


def test_every_setting_says_what_it_means() -> None:
    for key, field in Settings.model_fields.items():
        assert field.description, key
    assert set(Settings.model_fields) > AT_START | AT_HAND


def test_list_entries_are_names_or_files(tmp_path: Path) -> None:
    file = tmp_path / "ads.txt"
    file.write_text("ads.example.com\n")
    assert split_names(["a.example", str(file)], "blacklist") == (["a.example"], [file])
    assert split_names(["n" * 300], "blacklist") == (["n" * 300], [])  # too long for a path: no name either, told later
    with pytest.raises(SettingError, match=r"blacklist\[0\]"):
        split_names(["/\0"], "blacklist")
    with pytest.raises(SettingError) as error:
        split_names(["a.example", str(tmp_path / "absent.txt")], "blacklist")
    assert error.value.setting == "blacklist[1]"
