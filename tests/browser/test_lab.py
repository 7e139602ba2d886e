"""The live view in a real JupyterLab: two views, reload while a cell blocks, themes, restart, 20,000 rows a second."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
#: seconds of the flood; `make drill` asks for the whole half minute
FLOOD_SECONDS = 30 if os.environ.get("DRILL") else 6

FAKE = f"""
import sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from tests.notebook.fake_session import FakeSession
from dnsnb.notebook.dashboard import Dashboard

session = FakeSession()
session.greet()
number = 0

def send(count):
    global number
    now = int(time.time() * 1e6)
    first = number
    number += count
    session.rows({{
        "time": [now + i for i in range(count)],
        "client": [f"10.0.0.{{i % 50}}" for i in range(count)],
        "qname": [f"host{{(first + i) % 5000}}.site{{i % 300}}.example" for i in range(count)],
        "qtype": ["A", "AAAA"] * (count // 2) + ["A"] * (count % 2),
        "status": [("cached", "forwarded", "blocked")[i % 3] for i in range(count)],
        "latency_ms": [float(i % 40) for i in range(count)],
        "id": list(range(first + 1, first + count + 1)),
    }})
"""
FLOOD = """
def flood(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        send(2000)
        time.sleep(max(0, 0.1 - (time.monotonic() - began)))

threading.Thread(target=flood, args=(SECONDS,), daemon=True).start()
"""


def test_two_views_follow_the_theme_and_stay_as_last_drawn(lab: Lab, page: Page) -> None:
    """One notebook for it all, for a kernel takes its time: one stream feeds both; what is over stays to be read."""
    end = """
def end():
    while session.client.running:
        time.sleep(0.05)
    dashboard.finish()
threading.Thread(target=end, daemon=True).start()
send(3)
"""
    name = lab.write("two.ipynb", FAKE + "dashboard = Dashboard(session)\ndashboard", "dashboard", end)
    lab.open(page, name)
    lab.run_all(page)
    both = page.get_by_role("region", name="DNS dashboard")
    expect(both).to_have_count(2, timeout=30_000)
    for i in range(2):
        expect(both.nth(i).locator(".dnsnb-rows")).to_have_text("3 rows", timeout=10_000)
    both.nth(0).get_by_role("region", name=re.compile("Status")).get_by_role(
        "button", name=re.compile("blocked")
    ).click()
    for i in range(2):
        expect(both.nth(i).locator(".dnsnb-rows")).to_have_text("1 of 3 rows")

    light = both.nth(0).evaluate("e => getComputedStyle(e).backgroundColor")
    choose_theme(page, "Dark")
    expect(page.locator(".dnsnb.dnsnb-dark")).to_have_count(2, timeout=10_000)
    assert both.nth(0).evaluate("e => getComputedStyle(e).backgroundColor") != light
    lab.run_all(page)  # a view that is opened in the dark theme is dark from its first picture on
    for i in range(2):
        expect(both.nth(i).locator(".dnsnb-rows")).to_have_text("3 rows", timeout=30_000)
    expect(page.locator(".dnsnb.dnsnb-dark")).to_have_count(2)
    choose_theme(page, "Light")
    expect(page.locator(".dnsnb.dnsnb-dark")).to_have_count(0, timeout=10_000)

    both.nth(0).get_by_role("button", name="Stop the DNS server").click()
    for i in range(2):
        expect(both.nth(i).locator(".dnsnb-state")).to_have_text("closed", timeout=10_000)
        expect(both.nth(i).locator(".dnsnb-rows")).to_have_text("3 rows")
        expect(both.nth(i).locator(".dnsnb-warning")).to_contain_text("its last state")
    both.nth(1).get_by_role("searchbox", name="Search the rows").fill("host1")  # it can be looked through still
    expect(both.nth(1).locator(".dnsnb-rows")).to_have_text("1 of 3 rows")
    assert page.errors == []  # type: ignore[attr-defined]


def choose_theme(page: Page, name: str) -> None:
    page.locator(".lm-MenuBar-itemLabel", has_text="Settings").first.click()
    page.locator(".lm-Menu-itemLabel", has_text="Theme").first.click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^JupyterLab {name}$")).first.click()


def test_a_reload_while_a_cell_blocks_loses_nothing(lab: Lab, page: Page) -> None:
    """JupyterLab itself waits for a busy kernel before it restores any widget; then the view is whole at once."""
    name = lab.write(
        "blocked.ipynb",
        FAKE + "dashboard = Dashboard(session)\ndashboard",
        "send(5)\ntime.sleep(1.5)",
        "time.sleep(6)",
        "send(2)",
    )
    lab.open(page, name)
    lab.run_all(page)
    view = page.get_by_role("region", name="DNS dashboard")
    expect(view.locator(".dnsnb-rows")).to_have_text("5 rows", timeout=30_000)  # while the next cell blocks the kernel
    with page.expect_response(lambda r: "/api/contents/" in r.url and r.request.method == "PUT"):
        page.keyboard.press("Control+s")
    page.goto(page.url.replace("&reset", ""))
    expect(view.locator(".dnsnb-rows")).to_have_text("7 rows", timeout=40_000)
    expect(view.locator(".dnsnb-state")).to_have_text("running")
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)


def test_twenty_thousand_rows_a_second_leave_the_page_responsive(lab: Lab, page: Page) -> None:
    name = lab.write("flood.ipynb", FAKE + "Dashboard(session)", FLOOD.replace("SECONDS", str(FLOOD_SECONDS + 2)))
    received: list[float] = []

    def watch(socket: object) -> None:
        socket.on("framereceived", lambda data: received.append(time.monotonic()) if _is_frame(data) else None)  # type: ignore[attr-defined]

    page.on("websocket", watch)
    lab.open(page, name)
    page.evaluate(
        "window.long = []; new PerformanceObserver((l) => l.getEntries().forEach((e) => window.long.push(e.duration)))"
        ".observe({entryTypes: ['longtask']})"
    )
    lab.run_all(page)
    view = page.get_by_role("region", name="DNS dashboard")
    expect(view.locator(".dnsnb-rows")).not_to_have_text("0 rows", timeout=30_000)
    page.wait_for_timeout(1500)
    page.evaluate("window.long.length = 0")
    before, began = len(received), time.monotonic()
    page.wait_for_timeout(FLOOD_SECONDS * 500)
    # it goes on answering a person meanwhile
    clicked = time.monotonic()
    view.get_by_role("region", name=re.compile("Status")).get_by_role("button", name=re.compile("blocked")).click()
    expect(view.locator(".dnsnb-rows")).to_have_text(re.compile(r"^[\d,]+ of [\d,]+ rows$"))
    answered = time.monotonic() - clicked
    page.wait_for_timeout(FLOOD_SECONDS * 400)
    a_second = (len(received) - before) / (time.monotonic() - began)
    long = sorted(page.evaluate("window.long"))
    held = int(re.sub(r"\D", "", view.locator(".dnsnb-rows").inner_text().split(" of ")[1]))
    print(f"{a_second:.1f} frames/s, {len(long)} long tasks, worst {long[-1] if long else 0:.0f} ms, {held} rows held")
    assert a_second < 15
    assert held > 40_000
    assert answered < 2.0
    worst = 200 if os.environ.get("DRILL") else 500  # ms; a drill has the machine to itself
    assert not [ms for ms in long if ms > worst], f"long tasks of {long[-5:]} ms"
    assert sum(long) < FLOOD_SECONDS * 250, f"a quarter of the time in long tasks: {long}"
    assert page.errors == []  # type: ignore[attr-defined]


def _is_frame(data: object) -> bool:
    raw = data if isinstance(data, bytes) else str(data).encode()
    return b'"comm_msg"' in raw and b'"custom"' in raw


def test_a_kernel_restart_says_so_and_the_next_run_works(lab: Lab, page: Page) -> None:
    name = lab.write("restart.ipynb", FAKE + "dashboard = Dashboard(session)\nsend(2)\ndashboard")
    lab.open(page, name)
    lab.run_all(page)
    view = page.get_by_role("region", name="DNS dashboard")
    expect(view.locator(".dnsnb-rows")).to_have_text("2 rows", timeout=30_000)
    page.locator(".lm-MenuBar-itemLabel", has_text="Kernel").first.click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Restart Kernel…")).first.click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.locator(".jp-StatusBar-TextItem", has_text="| Idle").wait_for(timeout=30_000)
    lab.run_all(page)
    expect(page.locator(".dnsnb-rows").last).to_have_text("2 rows", timeout=30_000)
