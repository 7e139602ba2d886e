"""Makes the README's picture: the real dashboard, on its own page, of a real server with the simulator's traffic.

`make picture` writes notebooks/dashboard.png.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

import dnsnb
from dnsnb import simulate

OUT = Path(__file__).resolve().parents[2] / "notebooks" / "dashboard.png"
SIZE = {"width": 1180, "height": 800}


def main() -> None:
    """Play twenty seconds of a busy household, then take the picture."""
    with (
        simulate.running() as network,
        dnsnb.start(name="picture", upstreams=[network.address], blacklist=list(simulate.ADS)) as session,
        sync_playwright() as playwright,
    ):
        people = [{"addresses": [address], "name": name} for address, name in simulate.CLIENTS.items()]
        session.client.request("POST", "/api/dns/clients", {"clients": people, "groups": []})
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5)
        page.goto(session.status["http"])
        page.get_by_label("Token").fill(session.token or "")
        page.keyboard.press("Enter")
        expect(page.locator(".dnsnb-state")).to_have_text("running")
        simulate.play(session.status["dns"], simulate.traffic(seconds=100, rate=40), speed=5)
        page.wait_for_timeout(1200)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        # rare colours are what means something here: the running dot must stay green
        shot.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(OUT, optimize=True)
        browser.close()
    print(f"{OUT.name}: {OUT.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
