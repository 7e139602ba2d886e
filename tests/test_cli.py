"""The command line as a person meets it: real processes, their output, their exit status."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dnslib import DNSRecord

from dnsnb.cli import main
from dnsnb.errors import SettingError
from dnsnb.server import lookup
from dnsnb.simulate import running

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("DNSNB_")}


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dnsnb", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=CLEAN | environ)


@contextmanager
def serving(*arguments: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "dnsnb", "serve", "--json", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN | environ
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield process, json.loads(line)
        finally:
            process.kill()


def ask(address: str, name: str) -> DNSRecord:
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(DNSRecord.question(name).pack(), (host, int(port)))
        return DNSRecord.parse(sock.recv(4096))


def test_serve_prints_one_line_and_ends_on_a_signal(tmp_path: Path) -> None:
    ads = tmp_path / "ads.txt"
    ads.write_text("0.0.0.0 ads.example.net\n")
    with running(latency_ms=0) as up, serving(
        "--upstream", up.address, "--blacklist", str(ads), "--blacklist", "bad.example",
        "--whitelist", "ok.bad.example", "--block-mode", "nxdomain", DNSNB_TOKEN="token-from-outside",
    ) as (process, ready):  # fmt: skip
        assert set(ready) == {"dns", "http", "token"}
        assert ready["token"] == "token-from-outside"
        assert ask(ready["dns"], "ads.example.net").header.rcode == 3
        assert ask(ready["dns"], "bad.example").header.rcode == 3
        assert ask(ready["dns"], "ok.bad.example").header.rcode == 0
        assert str(ask(ready["dns"], "ok-60.example.org").rr[0].rdata)
        request = urllib.request.Request(
            ready["http"] + "/api/dns/status", headers={"Authorization": "Bearer token-from-outside"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert json.load(answer)["running"] is True
        began = time.monotonic()
        process.terminate()
        assert process.wait(5) == 0
        assert time.monotonic() - began < 3
        assert process.stdout is not None
        assert process.stdout.read() == ""
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_open_stream_does_not_hold_it_up(number: signal.Signals) -> None:
    with serving("--upstream", "127.0.0.1:9") as (process, ready):
        headers = {"Authorization": f"Bearer {ready['token']}"}
        request = urllib.request.Request(ready["http"] + "/api/sse/stream", headers=headers)
        with urllib.request.urlopen(request, timeout=5) as stream:
            assert stream.readline()
            began = time.monotonic()
            process.send_signal(number)
            while stream.read(65_536):  # it ends
                pass
        assert process.wait(5) == 0
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (["--dns", "nowhere"], "dns"),
        (["--dns", "192.0.2.1:53"], "dns"),
        (["--http", "0.0.0.0:0"], "http"),
        (["--upstream", "gopher://1.1.1.1"], "upstreams[0]"),
        (["--blacklist", "/nowhere/ads.txt"], "blacklist[0]"),
        (["--blacklist", "not a name"], "blacklist[0]"),
        (["--block-mode", "nul"], "block_mode"),
        (["--config", "/nowhere.toml"], "config"),
        (["--token-file", "/nowhere/token"], "--token-file"),
        (["--set", "cache_entries=many"], "cache_entries"),
        (["--set", "cash_entries=1"], "cash_entries"),
        (["--set", "novalue"], "--set"),
        (["--set", "log_driver=sqlite"], "log_driver"),
    ],
)
def test_a_wrong_setting_is_one_line(arguments: list[str], setting: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *arguments]) == 2
    out, error = capfd.readouterr()
    assert out == ""
    [line] = error.splitlines()
    assert line.startswith(f"dnsnb serve: {setting}: ")


def test_a_taken_port_is_one_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", "--dns", address)
    assert done.returncode == 2
    assert done.stderr.startswith(f"dnsnb serve: dns: '{address}'")
    assert len(done.stderr.splitlines()) == 1


def test_query_prints_an_answer_that_no_terminal_minds(capsys: pytest.CaptureFixture[str]) -> None:
    with running(latency_ms=0) as up:
        assert main(["query", "ok-60.example.org", "--server", up.address]) == 0
        shown = capsys.readouterr().out
        assert "ok-60.example.org  A  NOERROR" in shown
        assert main(["query", "nx-30-5.example.org", "AAAA", "--server", up.address, "--tcp"]) == 0
        assert "NXDOMAIN" in capsys.readouterr().out
        assert main(["query", "servfail.example.org", "--server", up.address]) == 1
        capsys.readouterr()
        assert main(["query", "\x1b[2J\n.example.org", "--server", up.address]) in (0, 1, 2)
        out, error = capsys.readouterr()
        assert all(c.isprintable() or c == "\n" for c in out + error)
        assert main(["query", "drop.example.org", "--server", up.address, "--timeout", "0.2"]) == 1
        assert "no answer" in capsys.readouterr().err
    assert main(["query", "x", "NOTYPE", "--server", "127.0.0.1"]) == 2


def test_config_says_where_each_setting_came_from(tmp_path: Path) -> None:
    file = tmp_path / "dnsnb.toml"
    file.write_text('block_mode = "refused"\nlog_days = 3\n')
    done = run("config", "--config", str(file), "--block-mode", "nodata", "--token", "secret-token-x",
               DNSNB_CACHE_ENTRIES="77")  # fmt: skip
    assert done.returncode == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "'nodata'" in rows["block_mode"]
    assert "(given)" in rows["block_mode"]
    assert "(file)" in rows["log_days"]
    assert "(environment)" in rows["cache_entries"]
    assert "(default)" in rows["strategy"]
    assert "secret-token-x" not in done.stdout
    shown = json.loads(run("config", "--json", "--config", str(file)).stdout)
    assert shown["settings"]["log_days"] == 3
    assert shown["sources"]["log_days"] == "file"


def test_demo_does_the_main_job() -> None:
    done = run("demo", "--seconds", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "qname" in done.stdout


def test_usage_is_status_2() -> None:
    for arguments in (["nonsense"], [], ["demo", "--seconds", "-1"], ["demo", "--seconds", "soon"]):
        with pytest.raises(SystemExit) as error:
            main(arguments)
        assert error.value.code == 2


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for command in ("serve", "demo", "lab", "query", "config"):
        assert command in shown
        with pytest.raises(SystemExit) as error:
            main([command, "--help"])
        assert error.value.code == 0


def test_a_wrong_type_is_not_blamed_on_the_name() -> None:
    with pytest.raises(SettingError, match=r"^type: 'FOO'"):
        lookup.ask("example.com", "FOO", "127.0.0.1:5353")
