"""The server's own page in a real Chromium: login, rows, filters, keyboard, commands, themes, hostile names, axe."""

from __future__ import annotations

import http.server
import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dnsnb import simulate
from dnsnb.notebook.doors import start
from dnsnb.notebook.lookup import look_up
from dnsnb.notebook.session import Session
from dnsnb.schema import STATUSES
from tests.browser.conftest import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(120)]

#: labels as they stand on the wire: script, markup, template braces, right-to-left override, NUL, terminal escape
HOSTILE = [
    b"<script>alert(1)</script>",
    b'"><img src=x onerror=alert(2)>',
    b"{{7*7}}",
    "\u202egnp.exe".encode(),
    b"a\x00\x1b[31m",
]


@pytest.fixture(scope="module")
def network() -> Iterator[Any]:
    with simulate.running() as upstream:
        yield upstream


@pytest.fixture
def session(network: Any) -> Iterator[Session]:
    opened = start(name="page", upstreams=[network.address], blacklist=["ads.example.net"])
    yield opened
    opened.close()


@pytest.fixture
def view(session: Session, page: Page) -> Locator:
    log_in(session, page)
    return page.get_by_role("region", name="DNS dashboard")


def log_in(session: Session, page: Page) -> None:
    page.goto(session.status["http"])
    page.get_by_label("Token").fill(session.token or "")
    page.keyboard.press("Enter")
    expect(page.locator(".dnsnb-state")).to_have_text("running")


def ask(session: Session, *names: str) -> None:
    for name in names:
        look_up(session.status["dns"], name)


def rows(view: Locator) -> Locator:
    return view.get_by_role("grid").locator("tbody tr:not([hidden])")


def copied(session: Session, view: Locator, page: Page, count: int) -> str:
    """What "copy as pandas" copies, once it has and the session's own frame has all rows too."""
    came = threading.Event()
    watch = session.live.on_change(came.set)
    while len(session.live) < count:
        assert came.wait(10)
        came.clear()
    watch.close()
    page.evaluate("navigator.clipboard.writeText('')")
    view.get_by_role("button", name="copy as pandas").click()
    return str(wait_for(lambda: page.evaluate("navigator.clipboard.readText()"), 10, "nothing was copied"))


def open_pane(view: Locator, title: str) -> Locator:
    view.get_by_role("button", name=title, exact=True).click()
    return view.get_by_role("region", name=title, exact=True)


def test_the_token_opens_it_and_nothing_else_does(session: Session, page: Page) -> None:
    page.goto(session.status["http"])
    page.get_by_label("Token").fill("not-the-token")
    page.get_by_role("button", name="Open the dashboard").click()
    expect(page.get_by_role("alert")).to_have_text("That is not this server's token.")
    log_in(session, page)
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == "", "the login cookie is for HTTP alone"
    page.reload()
    expect(page.locator(".dnsnb-state")).to_have_text("running")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


def test_the_policy_is_strict_and_kept(session: Session, page: Page) -> None:
    broken: list[str] = []
    page.on("console", lambda m: broken.append(m.text) if "Content Security Policy" in m.text else None)
    answer = page.goto(session.status["http"])
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    log_in(session, page)
    ask(session, "www.example.org")
    expect(rows(page.get_by_role("region", name="DNS dashboard")).first).to_contain_text("www.example.org")
    assert broken == []
    assert page.errors == []  # type: ignore[attr-defined]


def test_rows_filters_and_the_expression(session: Session, view: Locator, page: Page) -> None:
    ask(session, "www.example.org", "ads.example.net", "mail.example.org", "cdn.ads.example.net")
    expect(rows(view)).to_have_count(4)
    expect(rows(view).first).to_contain_text("cdn.ads.example.net")
    view.get_by_role("region", name=re.compile("Status")).get_by_role("button", name=re.compile("blocked")).click()
    expect(rows(view)).to_have_count(2)
    chip = view.get_by_role("button", name='Remove the filter status == "blocked"')
    expect(chip).to_be_visible()
    # the other headers count what is left
    expect(view.get_by_role("region", name=re.compile("Domains"))).not_to_contain_text("example.org")
    assert len(eval(copied(session, view, page, 4), {"session": session})) == 2  # as a person would run it
    chip.click()
    expect(rows(view)).to_have_count(4)
    view.get_by_role("searchbox", name="Search the rows").fill("-ads type:a mail")
    expect(rows(view)).to_have_count(1)


def test_fields_above_the_columns_filter(session: Session, view: Locator, page: Page) -> None:
    ask(session, "www.example.org", "ads.example.net", "mail.example.org")
    look_up(session.status["dns"], "mail.example.org", "AAAA")
    expect(rows(view)).to_have_count(4)
    view.get_by_role("grid").focus()
    page.keyboard.press("f")
    expect(view.get_by_label("Filter name")).to_be_focused()
    page.keyboard.type("MAIL")
    expect(rows(view)).to_have_count(2)
    view.get_by_label("Filter type").fill("a")  # A, and not what has an A in it
    expect(rows(view)).to_have_count(1)
    expect(view.get_by_role("button", name='Remove the filter qtype in ["A"]')).to_be_visible()
    assert eval(copied(session, view, page, 4), {"session": session})["qname"].tolist() == ["mail.example.org"]
    view.get_by_label("Filter name").focus()
    page.keyboard.press("Escape")
    expect(rows(view)).to_have_count(4)
    expect(view.get_by_label("Filter type")).to_have_value("")
    page.keyboard.press("f")
    expect(view.get_by_label("Filter name")).to_be_hidden()


def test_registered_domains_are_those_of_the_public_suffix_list(session: Session, view: Locator) -> None:
    ask(session, "www.shop.example.co.uk", "me.github.io", "you.github.io")
    domains = view.get_by_role("region", name=re.compile("Domains"))
    for name in ("example.co.uk", "me.github.io", "you.github.io"):
        expect(domains.get_by_role("button", name=re.compile(f"^{re.escape(name)}"))).to_be_visible()


def test_the_brush_selects_a_span(session: Session, view: Locator, page: Page) -> None:
    ask(session, "www.example.org")
    expect(rows(view)).to_have_count(1)
    chart = view.get_by_role("img", name=re.compile("Queries over time"))
    box = chart.bounding_box()
    assert box is not None
    middle = box["y"] + 40
    page.mouse.move(box["x"] + 80, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, middle, steps=4)
    page.mouse.up()
    expect(view.get_by_role("button", name=re.compile("Remove the filter time >="))).to_be_visible()
    expect(rows(view)).to_have_count(0)
    expect(view.locator(".dnsnb-empty")).to_contain_text("No row passes the filter")
    chart.focus()
    page.keyboard.press("Escape")
    expect(rows(view)).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(view.get_by_role("button", name=re.compile("Remove the filter time >="))).to_be_visible()


def test_walking_by_keyboard_and_blocking_from_a_row(session: Session, view: Locator, page: Page) -> None:
    ask(session, "one.example.org", "two.example.org", "three.example.org")
    expect(rows(view)).to_have_count(3)
    grid = view.get_by_role("grid")
    grid.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(view.locator("tr[aria-selected=true]")).to_contain_text("two.example.org")
    active = grid.get_attribute("aria-activedescendant")
    assert active is not None
    assert page.locator(f"[id='{active}']").is_visible()
    page.keyboard.press("Enter")
    detail = view.get_by_role("region", name="The chosen query")
    expect(detail).to_contain_text("two.example.org")
    expect(detail.get_by_role("list", name="Why it was decided so")).to_contain_text("cache")
    page.keyboard.press("b")
    expect(detail.get_by_role("status")).to_contain_text("two.example.org is now on the blacklist")
    assert look_up(session.status["dns"], "two.example.org").addresses == ["0.0.0.0"]
    expect(view.locator(".dnsnb-rows")).to_have_text("4 rows")
    page.keyboard.press("/")
    expect(view.get_by_role("searchbox", name="Search the rows")).to_be_focused()
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()
    grid.focus()
    page.keyboard.press("Space")
    expect(view.get_by_role("button", name="Resume")).to_be_visible()
    ask(session, "while-paused.example.org")
    expect(view.get_by_role("button", name="Resume (+1)")).to_be_visible()
    expect(rows(view).first).not_to_contain_text("while-paused")
    page.keyboard.press("Space")
    expect(rows(view).first).to_contain_text("while-paused")


def test_scrolled_rows_stand_still_and_say_how_many_are_new(session: Session, view: Locator, page: Page) -> None:
    ask(session, *(f"n{i}.example.org" for i in range(40)))
    expect(view.locator(".dnsnb-rows")).to_have_text("40 rows")
    scroller = view.locator(".dnsnb-scroll")
    scroller.evaluate("e => (e.scrollTop = 240)")
    expect(rows(view).first).not_to_contain_text("n39.")  # drawn anew a frame after the scroll
    before = rows(view).first.inner_text()
    ask(session, *(f"later{i}.example.org" for i in range(7)))
    fresh = view.get_by_role("button", name=re.compile("7 new"))
    expect(fresh).to_be_visible()
    assert rows(view).first.inner_text() == before
    assert view.get_by_role("grid").get_attribute("aria-rowcount") == "41"
    fresh.click()
    expect(rows(view).first).to_contain_text("later6.example.org")


def test_sorting_by_a_header(session: Session, view: Locator) -> None:
    ask(session, "b.example.org", "c.example.org", "a.example.org")
    expect(rows(view)).to_have_count(3)
    view.get_by_role("columnheader", name="name", exact=True).get_by_role("button").click()
    expect(rows(view).first).to_contain_text("a.example.org")
    expect(view.get_by_role("columnheader", name="name", exact=True)).to_have_attribute("aria-sort", "ascending")


def test_controls_change_the_server(session: Session, view: Locator, page: Page) -> None:
    view.get_by_label("Pause blocking").select_option("60")
    expect(view.get_by_role("button", name=re.compile("Blocking paused"))).to_be_visible()
    assert look_up(session.status["dns"], "ads.example.net").addresses != ["0.0.0.0"]
    view.get_by_role("button", name=re.compile("Blocking paused")).click()
    expect(view.get_by_label("Pause blocking")).to_be_visible()
    assert look_up(session.status["dns"], "ads.example.net").addresses == ["0.0.0.0"]

    open_pane(view, "Settings")
    view.get_by_label("Blocked names get").select_option("nxdomain")
    view.get_by_role("button", name="Apply").click()
    expect(view.get_by_text("Applied: block_mode.")).to_be_visible()
    assert look_up(session.status["dns"], "ads.example.net").rcode == "NXDOMAIN"

    open_pane(view, "Records")
    view.get_by_label("name: nas.home.example").fill("nas.home.example")
    view.get_by_label("data: 192.168.1.10").fill("192.168.1.10")
    page.keyboard.press("Enter")
    expect(view.get_by_role("table", name="Local records")).to_contain_text("192.168.1.10")
    assert look_up(session.status["dns"], "nas.home.example").addresses == ["192.168.1.10"]

    open_pane(view, "Look-up")
    view.get_by_label("name to look up").fill("x.ads.example.net")
    page.keyboard.press("Enter")
    expect(view.get_by_role("list", name="Each step of the look-up")).to_contain_text("ads.example.net")

    open_pane(view, "Cache")
    view.get_by_role("button", name="Flush all").click()
    expect(view.get_by_text(re.compile(r"\d+ answers flushed"))).to_be_visible()


def test_clients_get_names_and_groups_lists_of_their_own(session: Session, view: Locator, page: Page) -> None:
    ask(session, "www.example.org")
    expect(rows(view)).to_have_count(1)
    pane = open_pane(view, "Clients")
    people, groups = (pane.get_by_role("table", name=name) for name in ("Clients", "Groups"))
    expect(people).to_contain_text("No client has a name yet")
    expect(pane.locator("datalist option")).to_have_attribute("value", "127.0.0.1")
    name, addresses = pane.get_by_label("client: living-room-tv"), pane.get_by_label("addresses: 192.168.1.20")
    for address in ("127.0.0.1", "10.0.0.7"):  # the second is added to the first
        name.fill("<b>the tv</b>")
        addresses.fill(address)
        page.keyboard.press("Enter")
        expect(people).to_contain_text(address)
        expect(name).to_have_value("")
    expect(people.locator("tbody tr")).to_have_count(1)
    expect(people).to_contain_text("<b>the tv</b>127.0.0.1, 10.0.0.7")
    ask(session, "www.example.com")
    expect(rows(view).first).to_contain_text("<b>the tv</b>")

    session.client.request("POST", "/api/dns/lists", {"name": "kids", "text": "www.example.net\n", "kind": "block"})
    hours = {"blacklist": "20:00-08:00"}
    session.client.request("POST", "/api/dns/clients", {"groups": [{"name": "children", "schedules": hours}]})
    open_pane(view, "Lists")
    open_pane(view, "Clients")
    groups.get_by_role("button", name="Change").click()
    members, lists = pane.get_by_label("members: tablet 192.168.2.0/24"), pane.get_by_label("lists of its own")
    said = pane.get_by_role("status")
    members.fill("10.0.0.0/8")
    lists.fill("kids nosuch")
    page.keyboard.press("Enter")
    expect(said).to_contain_text("nosuch")
    expect(pane.get_by_label("group: children")).to_have_value("children")
    lists.fill("kids")
    page.keyboard.press("Enter")
    expect(said).to_have_text("children: holds from the next query on.")
    expect(groups).to_contain_text("blacklist: 20:00-08:00")
    assert look_up(session.status["dns"], "www.example.net").addresses != ["0.0.0.0"]
    groups.get_by_role("button", name="Change").click()
    members.fill("<b>the tv</b>,")
    members.press("Enter")
    expect(groups).to_contain_text("<b>the tv</b>")
    assert look_up(session.status["dns"], "www.example.net").addresses == ["0.0.0.0"]
    expect(people.locator("tbody tr")).to_contain_text("children")
    people.get_by_role("button", name="Remove").click()
    expect(said).to_have_text("<b>the tv</b> is gone.")
    expect(people).to_contain_text("No client has a name yet")
    assert look_up(session.status["dns"], "www.example.net").addresses != ["0.0.0.0"]


def test_hits_by_rule_and_a_list_from_a_file(session: Session, view: Locator, tmp_path: Path) -> None:
    ask(session, "x.ads.example.net", "ads.example.net")
    expect(rows(view)).to_have_count(2)
    open_pane(view, "Lists")
    blacklist = view.get_by_role("region", name="Blacklist")
    blacklist.get_by_role("button", name="hits").click()
    expect(blacklist.get_by_role("list", name="Blacklist")).to_contain_text("2 hits")
    names = tmp_path / "more ads.txt"
    names.write_text("0.0.0.0 one.example.com\n0.0.0.0 two.example.com\n", encoding="utf-8")
    view.get_by_label("File of names to import").set_input_files(names)
    table = view.get_by_role("table", name="Lists from files and addresses")
    expect(table).to_contain_text("more-ads")
    assert look_up(session.status["dns"], "one.example.com").addresses == ["0.0.0.0"]
    table.get_by_role("button", name="Remove").click()
    expect(table).not_to_contain_text("more-ads")
    assert look_up(session.status["dns"], "two.example.com").addresses != ["0.0.0.0"]


def test_a_list_from_an_address_says_what_it_would_add_and_that_it_goes_on(network: Any, page: Page) -> None:
    release = threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.wait(10)
            body = b"0.0.0.0 ads.example.net\n0.0.0.0 fresh.example.com\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    near: dict[str, Any] = {"list_networks": ["127.0.0.0/8"], "blacklist": ["ads.example.net"]}
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server,
        start(name="page-list", upstreams=[network.address], **near) as session,
    ):
        log_in(session, page)
        view = page.get_by_role("region", name="DNS dashboard")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pane = open_pane(view, "Lists")
        pane.get_by_label("list name").fill("from-afar")
        pane.get_by_label("address (URL) of a list").fill(f"http://127.0.0.1:{server.server_port}/hosts.txt")
        pane.get_by_role("button", name="Preview").click()
        expect(pane.get_by_text(re.compile(r"fetches and reads it… \d+ s"))).to_be_visible()
        release.set()
        expect(pane.get_by_text("It would add 1 of its 2 names; 1 are caught already (blacklist 1).")).to_be_visible()
        pane.get_by_role("button", name="Add list").click()
        table = pane.get_by_role("table", name="Lists from files and addresses")
        expect(table).to_contain_text("from-afar")
        assert look_up(session.status["dns"], "fresh.example.com").addresses == ["0.0.0.0"]
        table.get_by_role("button", name="Turn off").click()
        expect(table.get_by_role("button", name="Turn on")).to_be_visible()
        assert look_up(session.status["dns"], "fresh.example.com").addresses != ["0.0.0.0"]
        server.shutdown()


def test_upstreams_drivers_and_retention_are_set_and_a_wrong_one_changes_nothing(
    session: Session, view: Locator, tmp_path: Path
) -> None:
    pane = open_pane(view, "Settings")
    apply = pane.get_by_role("button", name="Apply")
    before = session.config
    pane.get_by_label("Upstreams, one a line").fill("not//one")
    apply.click()
    expect(pane.get_by_text(re.compile("not//one.*is neither an address nor a host name"))).to_be_visible()
    assert session.config == before
    pane.get_by_label("Upstreams, one a line").fill(before["upstreams"][0] + "\n192.0.2.53")
    pane.get_by_label("Log rows at most").fill("5000")
    pane.get_by_label("Log days").fill("1.5")
    apply.click()
    expect(pane.get_by_text("Applied: upstreams, log_days, log_rows.")).to_be_visible()
    after = session.config
    assert after["upstreams"] == [before["upstreams"][0], "192.0.2.53"]
    assert (after["log_days"], after["log_rows"]) == (1.5, 5000)
    pane.get_by_label("Cache kept in").select_option("sqlite")
    apply.click()
    expect(pane.get_by_text(re.compile("cache_driver.*folder"))).to_be_visible()  # where to? said in the server's words


def test_the_keys_are_told(view: Locator, page: Page) -> None:
    view.get_by_role("grid").focus()
    page.keyboard.press("?")
    expect(view.get_by_text("Keys: / search")).to_be_visible()
    page.keyboard.press("?")
    expect(view.get_by_text("Keys: / search")).to_be_hidden()


def test_a_lost_server_gives_one_warning_and_comes_back(network: Any, page: Page) -> None:
    session = start(name="page-lost", upstreams=[network.address])
    log_in(session, page)
    assert session.settings is not None
    assert session.handle is not None
    address = session.handle.http.removeprefix("http://")
    token = session.handle.token
    session.close()
    warning = page.locator(".dnsnb-warning")
    expect(warning).to_have_count(1)
    expect(warning).to_contain_text("Connection to the server lost", timeout=10_000)
    again = start(name="page-lost", http=address, token=token, upstreams=[network.address])
    try:
        expect(warning).to_be_hidden(timeout=20_000)
        ask(again, "after.example.org")
        expect(rows(page.get_by_role("region", name="DNS dashboard")).first).to_contain_text("after.example.org")
    finally:
        again.close()


def test_hostile_names_are_text_everywhere(session: Session, view: Locator, page: Page) -> None:
    import socket

    host, _, port = session.status["dns"].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        for number, label in enumerate([*HOSTILE, b"x" * 63]):
            tail = (
                b"\x07example\x03org\x00"
                if number < len(HOSTILE)
                else b"\x3f" + b"y" * 63 + b"\x3f" + b"z" * 63 + b"\x00"
            )
            name = bytes([len(label)]) + label + tail
            sock.sendto(struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + name + b"\0\1\0\1", (host, int(port)))
            sock.recv(4096)
    expect(rows(view)).to_have_count(6)
    rows(view).filter(has_text="script").first.click()
    expect(view.get_by_role("region", name="The chosen query")).to_contain_text("<script>")
    view.get_by_role("region", name="The chosen query").get_by_role("button", name="Only this domain").click()
    assert page.evaluate("document.querySelectorAll('.dnsnb script, .dnsnb img').length") == 0
    text = view.inner_text()
    assert "\u202e" not in text
    assert "\x00" not in text
    assert page.errors == []  # type: ignore[attr-defined]
    page_html = session.dashboard._repr_mimebundle_()[0]["text/html"]
    assert "<script" not in page_html
    assert "<img" not in page_html
    assert "{{" not in page_html


def test_both_themes_at_both_widths(session: Session, view: Locator, page: Page, tmp_path: Path) -> None:
    ask(session, "www.example.org", "ads.example.net")
    expect(rows(view)).to_have_count(2)
    grid = view.get_by_role("grid")
    schemes: list[Any] = ["dark", "light"]
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        expect(page.locator(".dnsnb.dnsnb-dark")).to_have_count(1 if scheme == "dark" else 0)
        for width in (700, 1600):
            page.set_viewport_size({"width": width, "height": 1200})
            upstream = grid.get_by_role("columnheader", name="upstream")
            expect(upstream).to_be_visible(visible=width == 1600)
            for kept in ("time", "name", "status"):
                expect(grid.get_by_role("columnheader", name=kept, exact=True)).to_be_visible()
            wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            page.wait_for_function(wide)  # charts take their new width a frame later
            assert len(page.screenshot(path=tmp_path / f"{scheme}-{width}.png")) > 10_000


#: contrasts of a bar's name and count with what they lie on; the bar is of the class given, until the next redraw
CONTRASTS = """(bar, name) => {
  bar.className = name;
  const pixel = new OffscreenCanvas(1, 1).getContext("2d");
  const rgb = (...layers) => {
    for (const layer of layers) { pixel.fillStyle = layer; pixel.fillRect(0, 0, 1, 1); }
    return pixel.getImageData(0, 0, 1, 1).data;
  };
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const style = (part) => getComputedStyle(bar.querySelector(part));
  const under = getComputedStyle(bar.closest(".dnsnb")).backgroundColor;
  const ground = light(rgb(under, style(".dnsnb-barfill").backgroundColor));
  return [".dnsnb-barname", ".dnsnb-barcount"].map(part => {
    const text = light(rgb(style(part).color));
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  });
}"""


def test_a_bar_can_be_read_on_the_colour_of_every_status(session: Session, view: Locator, page: Page) -> None:
    ask(session, "www.example.org")
    bar = view.get_by_role("region", name=re.compile("Status")).get_by_role("button").first
    schemes: list[Any] = ["dark", "light"]
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        expect(page.locator(".dnsnb.dnsnb-dark")).to_have_count(1 if scheme == "dark" else 0)
        for status in STATUSES:
            for off in ("", " dnsnb-off"):
                contrasts = bar.evaluate(CONTRASTS, f"dnsnb-bar dnsnb-is-{status}{off}")
                assert min(contrasts) >= 4.5, (scheme, status, off)  # WCAG 2.2, 1.4.3


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from the package registry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    run = subprocess.run(
        [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if run.returncode:
        pytest.skip(f"axe-core can't be had: {run.stderr[-200:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def test_axe_finds_no_serious_violation(session: Session, browser: Browser, axe: str) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 1600}, color_scheme="light", bypass_csp=True)
    try:
        page = context.new_page()
        page.goto(session.status["http"])
        assert serious(page, axe) == []
        log_in(session, page)
        ask(session, "www.example.org", "ads.example.net", "nx-30-5.example.org")
        view = page.get_by_role("region", name="DNS dashboard")
        expect(rows(view)).to_have_count(3)
        view.get_by_role("region", name=re.compile("Status")).get_by_role("button").first.click()
        rows(view).first.click()
        view.get_by_role("button", name="Filter columns").click()
        for title in ("Lists", "Clients", "Records", "Settings", "Look-up", "Cache"):
            pane = open_pane(view, title)
            if title == "Cache":
                expect(pane.locator("td").nth(1)).to_be_visible()
            assert serious(page, axe) == [], title
        page.emulate_media(color_scheme="dark")
        expect(page.locator(".dnsnb.dnsnb-dark")).to_have_count(1)
        assert serious(page, axe) == [], "dark"
    finally:
        context.close()


def serious(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['impact']} {v['id']}: {v['help']}: {v['nodes'][0]['html'][:160]} {v['nodes'][0].get('failureSummary')}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
