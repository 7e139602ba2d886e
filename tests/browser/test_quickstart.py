"""The main job in a real JupyterLab: a query from outside the kernel becomes a row, Stop stops, a list edit blocks."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dnsnb.errors import NotConnected
from dnsnb.notebook.lookup import look_up
from tests.browser.conftest import Lab, wait_for

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01_quickstart.ipynb"


def is_bound(address: str) -> bool:
    """Whether somebody holds the UDP port."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, int(port)))
        except OSError:
            return True
        return False


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_query_from_outside_becomes_a_row_and_a_click_stops_the_server(lab: Lab, page: Page) -> None:
    shutil.copy(NOTEBOOK, lab.root / NOTEBOOK.name)
    lab.open(page, NOTEBOOK.name)
    lab.run_all(page)

    view = page.get_by_role("region", name="DNS dashboard")
    expect(view).to_be_visible(timeout=60_000)
    view.scroll_into_view_if_needed()
    expect(view.locator(".dnsnb-state")).to_have_text("running", timeout=30_000)
    printed = page.locator(".jp-OutputArea-output", has_text="Ask it from any other program").first.inner_text()
    found = re.search(r"@(\S+) -p (\d+)", printed)
    assert found is not None, printed
    address = f"{found[1]}:{found[2]}"
    expect(view.get_by_role("button", name=re.compile("DNS address"))).to_have_text(address)

    # a query from outside the kernel stands in the table
    view.get_by_role("searchbox", name="Search the rows").fill("example.org")  # the household's own traffic goes on
    assert look_up(address, "outside.example.org").rcode == "NOERROR"
    grid = view.get_by_role("grid", name=re.compile("Queries"))
    expect(grid.get_by_role("row").filter(has_text="outside.example.org")).to_be_visible(timeout=5_000)

    # commands from the browser wait while a cell runs
    page.locator(".jp-StatusBar-TextItem", has_text="| Idle").wait_for(timeout=60_000)

    view.get_by_role("button", name="Lists", exact=True).click()

    # a name added in the list editor is blocked over UDP, and its row says so
    view.get_by_role("textbox", name="Add a name to the blacklist").fill("added.example.org")
    view.get_by_role("region", name="Blacklist").get_by_role("button", name="Add", exact=True).click()
    expect(view.get_by_role("list", name="Blacklist")).to_contain_text("added.example.org")
    answer = look_up(address, "www.added.example.org")
    assert answer.addresses == ["0.0.0.0"]
    assert answer.ede[0].startswith("15")
    row = grid.get_by_role("row").filter(has_text="www.added.example.org")
    expect(row).to_contain_text("blocked")

    # a wrong name is an error where one looks, and changes nothing
    view.get_by_role("textbox", name="Add a name to the blacklist").fill("not..a.name")
    view.get_by_role("region", name="Blacklist").get_by_role("button", name="Add", exact=True).click()
    expect(view.get_by_role("region", name="Blacklist").get_by_role("status")).to_contain_text("not..a.name")

    # Stop: the state changes, the port is closed
    view.get_by_role("button", name="Stop the DNS server").click()
    expect(view.locator(".dnsnb-state")).to_have_text("stopped", timeout=10_000)
    wait_for(lambda: not is_bound(address), 5, "the port is still open after Stop")
    with pytest.raises(NotConnected):
        look_up(address, "www.example.org", timeout=0.3)
    view.get_by_role("button", name="Start the DNS server").click()
    expect(view.locator(".dnsnb-state")).to_have_text("running", timeout=10_000)
    assert page.errors == []  # type: ignore[attr-defined]
