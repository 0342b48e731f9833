"""Pages of this project in a headless Chromium; tests that need it are skipped where it is absent."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WAIT_MS = 60_000


@contextmanager
def opened(address: str, height: int = 1000, **options: Any) -> Iterator[Any]:
    """Yield a page at an address; fails if its scripts do, or if it asks anybody else for anything."""
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    asked, problems = [], []
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": height}, locale="en-GB", **options)
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        yield page
        browser.close()
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert asked and not outside and not problems
