"""The page of the messages as a reader meets it: in a browser, against the running gateway."""

from playwright.async_api import expect

from reservations.models.topics import TOPICS
from tests.browser.test_docs_page import assert_kept_to_itself
from tests.browser.visits import Visit
from tests.service import Service


async def test_a_reader_sees_every_topic_and_gets_the_document_in_both_forms_and_no_other_host_is_asked(
    visit: Visit, service: Service
) -> None:
    await visit.page.goto(f"{service.gateway_url}/asyncapi", wait_until="networkidle")
    for topic in TOPICS:
        await expect(visit.page.get_by_text(service.topic_prefix + topic.name, exact=True).first).to_be_visible()
    assert f"{service.gateway_url}/asyncapi.json" in visit.requests
    for form in ("JSON", "YAML"):
        async with visit.page.expect_download() as download:
            await visit.page.get_by_role("link", name=form, exact=True).click()
        assert (await download.value).suggested_filename == f"asyncapi.{form.lower()}"
    await assert_kept_to_itself(visit, service.gateway_url)


async def test_a_reader_unfolds_what_a_message_says(visit: Visit, gateway_url: str) -> None:
    await visit.page.goto(f"{gateway_url}/asyncapi", wait_until="networkidle")
    operation = visit.page.locator("#operation-send-sendReservationCreated")
    folded = operation.get_by_role("button", name="Expand all")
    await expect(folded.first).to_be_visible()
    while await folded.count():
        await folded.first.click()
    for field in ("confirmation_code", "GEAR_ASSIGNED", "ce_subject", "traceparent"):
        await expect(operation.get_by_text(field).first).to_be_visible()
    await assert_kept_to_itself(visit, gateway_url)
