"""A page of a real browser; the tests that need one are skipped where there is none."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import async_playwright

from tests.browser.visits import Visit, open_page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Without these the browser itself, not the page, would look for updates and other hosts.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """Open a blank page; skip when there is no browser."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser on PATH: looked for {', '.join(PROGRAMS)}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield await open_page(browser)
        finally:
            await browser.close()
