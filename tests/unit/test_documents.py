"""What the document routes serve: each document in two forms, and a page of local files only."""

import json
import re
from collections.abc import AsyncIterator
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from reservations.http.documents import document_routes

ANSWERS = {"responses": {"200": {"description": "2031-05-01: oui, déjà"}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "svc-reservations", "version": "2.4.1", "description": "One line.\nAnother: line.\n"},
    "paths": {"/a": {"get": ANSWERS}, "/b": {"get": ANSWERS}},
}
MESSAGES: dict[str, Any] = {"asyncapi": "3.0.0", "info": {"title": "svc-reservations", "version": "2.4.1"}}
ASSETS = files("reservations.http").joinpath("assets")
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application()
    app.add_routes(document_routes(DOCUMENT, MESSAGES))
    async with TestClient(TestServer(app)) as client:
        yield client


class Links(HTMLParser):
    """Collects the addresses that a page names, and the text of its inline scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in {"href", "src"} and value]
        self.inline += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem and data.strip():
            self.inline.append(data)


def links(page: str) -> Links:
    parser = Links()
    parser.feed(page)
    return parser


async def test_yaml_and_json_say_the_same(client: Client) -> None:
    as_json, as_yaml = await client.get("/openapi.json"), await client.get("/openapi.yaml")
    text = await as_yaml.text()
    assert (as_json.content_type, as_yaml.content_type) == ("application/json", "application/yaml")
    assert await as_json.json() == yaml.safe_load(text) == DOCUMENT
    assert "&id" not in text
    assert "description: |\n    One line.\n    Another: line.\n" in text


async def test_the_document_of_the_messages_comes_in_both_forms_too(client: Client) -> None:
    as_json, as_yaml = await client.get("/asyncapi.json"), await client.get("/asyncapi.yaml")
    assert (as_json.content_type, as_yaml.content_type) == ("application/json", "application/yaml")
    assert await as_json.json() == yaml.safe_load(await as_yaml.text()) == MESSAGES


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/openapi.yaml", "/docs", "/docs/assets/docs.js", "/asyncapi.json", "/asyncapi"]
)
async def test_what_is_known_by_its_etag_is_not_sent_again(client: Client, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    other = await client.get(path, headers={"If-None-Match": '"another"'})
    assert first.headers["Cache-Control"] == "no-cache"
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert (other.status, await other.read()) == (200, await first.read())


async def test_another_document_has_another_etag(client: Client) -> None:
    app = web.Application()
    app.add_routes(document_routes({**DOCUMENT, "info": {"title": "c", "version": "2.4.1"}}, MESSAGES))
    async with TestClient(TestServer(app)) as other:
        tags = [(await each.get("/openapi.json")).headers["ETag"] for each in (client, other)]
    assert tags[0] != tags[1]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/docs", {"docs/assets/swagger-ui-bundle.js", "docs/assets/docs.js", "openapi.json", "openapi.yaml"}),
        ("/asyncapi", {"asyncapi/assets/without-parser.js", "asyncapi.json", "asyncapi.yaml"}),
    ],
)
async def test_a_page_names_only_files_that_are_served(client: Client, path: str, named: set[str]) -> None:
    page = links(await (await client.get(path)).text())
    assert named <= set(page.addresses)
    for address in page.addresses:
        assert not re.match(r"\w+:|/", address)
        assert (await client.get(f"/{address}")).status == 200
    assert page.inline == []


@pytest.mark.parametrize("path", ["/docs", "/asyncapi"])
async def test_a_page_may_talk_to_nobody_else(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = dict(directive.strip().split(" ", 1) for directive in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"https?:|\*|unsafe-eval", headers["Content-Security-Policy"])
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs", "/asyncapi"])
async def test_a_slash_too_many_leads_to_the_page(client: Client, path: str) -> None:
    answer = await client.get(f"{path}/")
    assert (answer.status, answer.url.path) == (200, path)


@pytest.mark.parametrize(
    "name", ["vendored.json", "README.md", "docs.html", "..%2fopenapi.py", "swagger-ui/LICENSE", ""]
)
async def test_no_other_file_is_served(client: Client, name: str) -> None:
    for page in ("docs", "asyncapi"):
        assert (await client.get(f"/{page}/assets/{name}")).status == 404


async def test_files_say_what_they_are(client: Client) -> None:
    kinds = {
        name: (await client.get(f"/docs/assets/{name}")).content_type
        for name in ("docs.css", "docs.js", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "LICENSE")
    }
    assert list(kinds.values()) == ["text/css", "text/javascript"] * 2 + ["image/png", "text/plain"]


@pytest.mark.parametrize(
    ("folder", "package", "series"),
    [("swagger-ui", "swagger-ui-dist", "5."), ("asyncapi-react", "@asyncapi/react-component", "3.")],
)
def test_vendored_files_are_unchanged(folder: str, package: str, series: str) -> None:
    place = ASSETS.joinpath(folder)
    vendored = json.loads(place.joinpath("vendored.json").read_bytes())
    found = {f.name: sha256(f.read_bytes()).hexdigest() for f in place.iterdir() if f.name != "vendored.json"}
    assert found == vendored["sha256"]
    assert (vendored["package"], vendored["license"]) == (package, "Apache-2.0")
    assert vendored["version"].startswith(series)
