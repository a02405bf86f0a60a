"""The page for operators in a browser, against running services: one that is open, and one that asks for tokens."""

import os
from pathlib import Path
from uuid import uuid4

from playwright.async_api import Page, expect

from tests.bookings import a_booking, book
from tests.browser.test_docs_page import assert_kept_to_itself
from tests.browser.visits import Visit
from tests.service import Service
from tests.tokens import Issuer, a_guest, a_partner, a_service, bearing

PICTURE = Path(__file__).parents[2] / "docs" / "ops.png"


async def goes_live(page: Page) -> None:
    """Wait until the page shows what happens now."""
    await expect(page.locator("#state")).to_have_text("Live")
    await expect(page.locator("#backlog")).not_to_have_text("\u2013")


async def test_what_happens_is_shown_as_it_happens(visit: Visit, service: Service) -> None:
    page, trip_id = visit.page, str(uuid4())
    await page.goto(f"{service.gateway_url}/ops")
    await goes_live(page)
    made = await book(service, trip_id=trip_id, party_size=4)
    lines = page.locator("#lines tr").filter(has_text=made["id"])
    await expect(lines.filter(has_text="reservation.create")).to_have_count(2)  # the command, and its event
    await service.ask("DELETE", f"/reservations/{made['id']}?reason=WEATHER")
    await expect(lines.filter(has_text="CANCELLED")).to_have_count(1)
    again = await book(service, trip_id=trip_id, party_size=4)
    await expect(page.locator("#lines tr").first).to_contain_text(again["id"])
    await service.send(b"no command", b"k")
    letter = page.locator('#lines tr[data-kind="dead letter"]')
    await expect(letter).to_contain_text("VALIDATION_FAILED")
    await expect(page.locator("#batches rect").first).to_be_visible()
    await expect(page.locator("#slots tr").first).to_be_visible()
    await assert_kept_to_itself(visit, service.gateway_url)
    if os.environ.get("UPDATE_DOCS"):
        await page.screenshot(path=PICTURE)


async def test_what_does_not_answer_is_named(visit: Visit, service: Service) -> None:
    await visit.page.goto(f"{service.gateway_url}/ops")
    await goes_live(visit.page)
    calm = {"lines": [], "backlog": 0, "takes_writes": True, "batches": [], "slots": []}
    calm["rates"] = {"command": 0.0, "event": 0.0, "dead letter": 0.0}
    for changed, said in (
        ({}, "Live"),
        ({"backlog": None}, "The broker does not answer: no writes are taken, nothing new is seen."),
        ({"slots": None}, "The database does not answer: no reads are served."),
        ({"takes_writes": False}, "Writes are refused: too many commands wait."),
    ):
        show = "snapshot => { show(snapshot); return byId('state').textContent; }"
        assert await visit.page.evaluate(show, {**calm, **changed}) == said


async def test_a_token_of_the_staff_is_asked_for_and_another_is_not_enough(
    visit: Visit, guarded: Service, issuer: Issuer
) -> None:
    page = visit.page
    await page.goto(f"{guarded.gateway_url}/ops")
    for claims, said in ((a_guest(), "does not allow"), ({}, "Live")):
        await expect(page.locator("#ask")).to_be_visible()
        await page.locator("#token").fill(issuer.token(claims))
        await page.get_by_role("button", name="Watch").click()
        await expect(page.locator("#state")).to_contain_text(said)
    await expect(page.locator("#ask")).to_be_hidden()
    body = a_booking()
    status, made, _ = await guarded.ask("POST", "/reservations", headers=bearing(issuer.token({})), json=body)
    assert status == 201
    await expect(page.locator("#lines")).to_contain_text(made["id"])


async def test_the_stream_is_for_the_staff_alone(guarded: Service, issuer: Issuer) -> None:
    for claims in (a_guest(), a_partner(), a_service("read", "write")):
        headers = bearing(issuer.token(claims))
        status, answer, _ = await guarded.ask("GET", "/ops/stream", headers=headers)
        assert (status, answer["error"]) == (403, "FORBIDDEN")
    status, answer, _ = await guarded.ask("GET", "/ops/stream")
    assert (status, answer["error"]) == (401, "UNAUTHENTICATED")


async def test_an_open_stream_does_not_hold_up_the_end(own_service: Service) -> None:
    gateway = await own_service.start("gateway")
    async with own_service.session.get(f"{own_service.gateway_url}/ops/stream") as stream:
        assert (await stream.content.readline()).startswith(b"data: ")
        assert await gateway.stop() == 0
