"""A page of a browser that notes what it asks for and what it complains about."""

from dataclasses import dataclass, field

from playwright.async_api import Browser, ConsoleMessage, Page, Request

WAIT_LIMIT_MS = 20_000


@dataclass
class Visit:
    """A page, the addresses it asked for, and what went wrong on it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def note_failure(self, request: Request) -> None:
        self.complaints.append(f"{request.url} failed: {request.failure}")

    def note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def note_error(self, error: Exception) -> None:
        self.complaints.append(f"uncaught: {error}")

    async def all_complaints(self) -> list[str]:
        """Return what the page complained of, breaches of its content security policy included."""
        breaches: list[str] = await self.page.evaluate("window.breaches")
        return self.complaints + breaches


async def open_page(browser: Browser) -> Visit:
    """Return a blank page, watched from its first request on."""
    context = await browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(WAIT_LIMIT_MS)
    await context.add_init_script(
        "window.breaches = [];"
        "addEventListener('securitypolicyviolation', e => breaches.push(`${e.violatedDirective}: ${e.blockedURI}`));"
    )
    visit = Visit(await context.new_page())
    context.on("request", visit.note_request)
    context.on("requestfailed", visit.note_failure)
    visit.page.on("console", visit.note_message)
    visit.page.on("pageerror", visit.note_error)
    return visit
