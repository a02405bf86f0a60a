"""The documentation page as a reader meets it: in a browser, against the running gateway."""

from urllib.parse import urlsplit

from playwright.async_api import Locator, expect

from tests.browser.visits import Visit


async def opened(visit: Visit, gateway_url: str, method: str, path: str) -> Locator:
    """Open the page and the operation; return its block."""
    await visit.page.goto(f"{gateway_url}/docs", wait_until="networkidle")
    block = visit.page.locator(f".opblock-{method}").filter(has=visit.page.locator(f'[data-path="{path}"]'))
    await block.locator(".opblock-summary-control").click()
    await expect(block.locator(".opblock-body")).to_be_visible()
    return block


async def assert_kept_to_itself(visit: Visit, gateway_url: str) -> None:
    hosts = {urlsplit(address).netloc for address in visit.requests if not address.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(gateway_url).netloc}
    assert await visit.all_complaints() == []


async def test_a_reader_makes_a_reservation_on_the_page_and_no_other_host_is_asked(
    visit: Visit, gateway_url: str
) -> None:
    block = await opened(visit, gateway_url, "post", "/reservations")
    await block.get_by_role("button", name="Execute").click()
    await expect(block.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    assert f"{gateway_url}/reservations" in visit.requests
    await assert_kept_to_itself(visit, gateway_url)


async def test_every_operation_unfolds_without_a_complaint(visit: Visit, gateway_url: str) -> None:
    await opened(visit, gateway_url, "post", "/reservations")
    document = await visit.page.evaluate("fetch('openapi.json').then(answer => answer.json())")
    summaries = visit.page.locator(".opblock:not(.is-open) .opblock-summary-control")
    while await summaries.count():
        await summaries.first.click()
    await expect(visit.page.locator(".opblock.is-open")).to_have_count(sum(map(len, document["paths"].values())))
    await expect(visit.page.locator(".loading-container")).to_have_count(0)
    await expect(visit.page.locator(".errors-wrapper")).to_have_count(0)
    await assert_kept_to_itself(visit, gateway_url)


async def test_both_forms_of_the_document_can_be_downloaded_from_the_page(visit: Visit, gateway_url: str) -> None:
    await visit.page.goto(f"{gateway_url}/docs", wait_until="networkidle")
    for form in ("JSON", "YAML"):
        async with visit.page.expect_download() as download:
            await visit.page.get_by_role("link", name=form, exact=True).click()
        assert (await download.value).suggested_filename == f"openapi.{form.lower()}"
