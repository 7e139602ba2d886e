"""The server for other people's tests, and the plug-in that makes it a fixture: used here as they would."""

from __future__ import annotations

import asyncio
import doctest
import socket
import textwrap
import time

import dns.message
import dns.query
import dns.rcode
import pytest

from dnsnb.errors import SettingError
from dnsnb.testing import LocalDNS, local_dns

pytest_plugins = ["pytester"]


def test_a_name_is_answered_and_counted(dns_server: LocalDNS) -> None:
    dns_server.answer("api.example.com", "192.0.2.10", "2001:db8::10")
    with dns_server.capture():
        infos = socket.getaddrinfo("api.example.com", 443, type=socket.SOCK_STREAM)
    assert {info[4][0] for info in infos} == {"192.0.2.10", "2001:db8::10"}
    assert dns_server.asked("api.example.com") == 2
    assert dns_server.asked("API.example.com.", "aaaa") == 1
    assert dns_server.asked() == 2
    assert dns_server.asked("other.example.com") == 0
    assert dns_server.names() == ["api.example.com"]
    assert dns_server.frame["status"].tolist() == ["forwarded", "forwarded"]


def test_everything_else_does_not_exist(dns_server: LocalDNS) -> None:
    assert dns_server.lookup("www.example.com").rcode == "NXDOMAIN"
    with dns_server.capture(), pytest.raises(socket.gaierror):
        socket.gethostbyname("www.example.com")


def test_records_of_any_type_stars_and_aliases(dns_server: LocalDNS) -> None:
    dns_server.answer("example.com", "10 mail.example.com.", type="MX")
    dns_server.answer("example.com", 'say "hi"', type="TXT")
    dns_server.answer("*.apps.example.com", "192.0.2.20")
    dns_server.answer("blog.example.com", "x.apps.example.com.", type="CNAME")
    assert dns_server.lookup("example.com", "MX").answers[0][3] == "10 mail.example.com."
    assert 'say "hi"' in dns_server.lookup("example.com", "TXT").answers[0][3]
    assert dns_server.lookup("a.b.apps.example.com").addresses == ["192.0.2.20"]
    assert dns_server.lookup("blog.example.com").addresses == ["192.0.2.20"]
    assert dns_server.lookup("apps.example.com").rcode == "NOERROR"  # something is below it
    assert dns_server.lookup("example.com", "AAAA").rcode == "NOERROR"  # it is there, without that type


@pytest.mark.parametrize("name", ["db.local", "x.invalid", "hidden.onion", "nas.home.arpa", "_dns.resolver.arpa"])
def test_names_that_never_leave_a_house_are_made_up_too(dns_server: LocalDNS, name: str) -> None:
    assert dns_server.lookup(name).rcode == "NXDOMAIN"
    dns_server.answer(name, "10.0.0.5")
    dns_server.answer("5.0.0.10.in-addr.arpa", f"{name}.", type="PTR")
    assert dns_server.lookup(name).addresses == ["10.0.0.5"]
    assert dns_server.lookup("5.0.0.10.in-addr.arpa", "PTR").answers[0][3] == f"{name}."
    assert dns_server.lookup("app.localhost").addresses == ["127.0.0.1"]
    assert dns_server.lookup("1.0.0.127.in-addr.arpa", "PTR").answers[0][3] == "localhost."
    assert dns_server.asked("app.localhost") == 1


def test_a_change_holds_from_the_next_question_on(dns_server: LocalDNS) -> None:
    dns_server.answer("api.example.com", "192.0.2.1", ttl=3600)
    assert dns_server.lookup("api.example.com").addresses == ["192.0.2.1"]
    dns_server.answer("api.example.com", "192.0.2.2", ttl=3600)
    assert dns_server.lookup("api.example.com").addresses == ["192.0.2.2"]
    dns_server.fail("api.example.com")
    assert dns_server.lookup("api.example.com").rcode == "SERVFAIL"
    dns_server.block("example.com")
    assert dns_server.lookup("api.example.com").addresses == ["0.0.0.0"]
    dns_server.unblock("example.com")
    dns_server.answer("api.example.com", "192.0.2.3")
    assert dns_server.lookup("api.example.com").addresses == ["192.0.2.3"]
    assert dns_server.asked(status="blocked") == 1


def test_delays_silence_and_a_server_that_is_down(dns_server: LocalDNS) -> None:
    dns_server.answer("slow.example.com", "192.0.2.1")
    dns_server.delay("slow.example.com", 0.3)
    began = time.monotonic()
    assert dns_server.lookup("slow.example.com").addresses == ["192.0.2.1"]
    assert time.monotonic() - began >= 0.3
    dns_server.silence("gone.example.com")
    question = dns.message.make_query("gone.example.com", "A")
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(question, dns_server.host, timeout=0.3, port=dns_server.port)
    dns_server.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert sock.connect_ex((dns_server.host, dns_server.port)) != 0
    dns_server.start()
    assert dns_server.lookup("slow.example.com").addresses == ["192.0.2.1"]


def test_large_answers_go_over_tcp(dns_server: LocalDNS) -> None:
    dns_server.answer("big.example.com", *(f"192.0.2.{n}" for n in range(1, 200)))
    assert len(dns_server.lookup("big.example.com").addresses) == 199


@pytest.mark.dns_server(block_mode="nxdomain", blacklist=["ads.example.com"])
def test_settings_by_marker(dns_server: LocalDNS) -> None:
    assert dns_server.lookup("ads.example.com").rcode == "NXDOMAIN"
    assert dns_server.asked(status="blocked") == 1


async def test_in_an_asyncio_program(dns_server: LocalDNS) -> None:
    dns_server.answer("db.example.com", "127.0.0.1")
    with dns_server.capture():
        infos = await asyncio.get_running_loop().getaddrinfo("db.example.com", 5432, family=socket.AF_INET)
    assert infos[0][4][0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("call", "culprit"),
    [
        (lambda d: d.answer("example.com"), "data"),
        (lambda d: d.answer("example.com", "mail.example.com"), "type"),
        (lambda d: d.answer("example.com", "many words", type="MX"), "data"),
        (lambda d: d.answer("example.com", "x", type="NOSUCH"), "type"),
        (lambda d: d.answer("a..b", "192.0.2.1"), "name"),
        (lambda d: d.answer("app.localhost", "192.0.2.1"), "this machine"),
        (lambda d: d.fail("example.com", "OOPS"), "rcode"),
        (lambda d: d.delay("example.com", -1), "seconds"),
        (lambda d: LocalDNS(upstreams=["192.0.2.1"]), "upstreams"),
        (lambda d: LocalDNS(block_mode="silly"), "block_mode"),
    ],
)
def test_mistakes_are_told(dns_server: LocalDNS, call: object, culprit: str) -> None:
    with pytest.raises(SettingError, match=culprit):
        call(dns_server)  # type: ignore[operator]


def test_it_leaves_nothing_behind() -> None:
    server = LocalDNS()
    host, port = server.host, server.port
    server.close()
    server.close()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert sock.connect_ex((host, port)) != 0
    assert "closed" in repr(server)


def test_the_plug_in_in_somebody_elses_project(pytester: pytest.Pytester) -> None:
    """In a process of its own: found by its entry point, one server a test, light for runs that don't use it."""
    pytester.makepyfile(
        textwrap.dedent(
            """
            import socket, sys
            import pytest

            ports = set()

            def test_light():
                assert not {"pandas", "aiohttp", "dnslib"} & set(sys.modules)

            def test_one(dns_server):
                dns_server.answer("one.example.com", "192.0.2.1")
                assert dns_server.lookup("one.example.com").addresses == ["192.0.2.1"]

            def test_other(dns_server):
                assert dns_server.lookup("one.example.com").rcode == "NXDOMAIN"

            @pytest.mark.dns_server("nxdomain")
            def test_wrong(dns_server):
                pass
            """
        )
    )
    # the project's own options must not be ours
    pytester.makeini("[pytest]\n")
    result = pytester.runpytest_subprocess("--strict-markers", "-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*settings go by name*"])


def test_its_example_runs() -> None:
    assert doctest.testmod(local_dns) == doctest.TestResults(0, 1)
