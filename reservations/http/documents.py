"""What programs read of the API and its messages, and pages that show it to people, without any other host."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

import orjson
import yaml
from aiohttp import ETag, web

from reservations.http.callers import Handler

_HTML = "text/html; charset=utf-8"
_CSS = "text/css; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"

#: What each page may load: the only files that are served, by their path under `assets`.
_ASSETS = {
    "docs": {
        "docs.css": _CSS,
        "docs.js": _SCRIPT,
        "swagger-ui/swagger-ui.css": _CSS,
        "swagger-ui/swagger-ui-bundle.js": _SCRIPT,
        "swagger-ui/swagger-ui-bundle.js.LICENSE.txt": _TEXT,
        "swagger-ui/favicon-32x32.png": "image/png",
        "swagger-ui/LICENSE": _TEXT,
        "swagger-ui/NOTICE": _TEXT,
    },
    "asyncapi": {
        "docs.css": _CSS,
        "uncompiled.js": _SCRIPT,
        "asyncapi.js": _SCRIPT,
        "asyncapi-react/default.min.css": _CSS,
        "asyncapi-react/without-parser.js": _SCRIPT,
        "asyncapi-react/without-parser.js.LICENSE.txt": _TEXT,
        "asyncapi-react/LICENSE": _TEXT,
    },
}

_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class _Page:
    """What a path serves: its bytes, and the tag that changes when they do."""

    content: bytes
    content_type: str
    tag: str

    @classmethod
    def of(cls, content: bytes, content_type: str) -> "_Page":
        return cls(content, content_type, sha256(content).hexdigest()[:32])


def document_routes(openapi: Mapping[str, Any], asyncapi: Mapping[str, Any]) -> list[web.RouteDef]:
    """Return the routes of both documents, of their pages and of what these load, all rendered here and now."""
    pages = [*_forms("/openapi", openapi), *_forms("/asyncapi", asyncapi), *_shown("docs"), *_shown("asyncapi")]
    return [*(web.get(path, serving(page)) for path, page in pages), *map(_without_slash, _ASSETS)]


def _forms(path: str, document: Mapping[str, Any]) -> Iterator[tuple[str, _Page]]:
    yield f"{path}.json", _Page.of(_json(document), "application/json")
    yield f"{path}.yaml", _Page.of(_yaml(document), "application/yaml")


def _shown(name: str) -> Iterator[tuple[str, _Page]]:
    yield f"/{name}", asset(f"{name}.html", _HTML)
    for path, content_type in _ASSETS[name].items():
        yield f"/{name}/assets/{path.rpartition('/')[2]}", asset(path, content_type)


def _json(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


class _Yaml(yaml.SafeDumper):
    """YAML as people write it: text of several lines as a block, and no part as an alias of another."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> yaml.ScalarNode:
        return super().represent_scalar(tag, value, "|" if "\n" in value else style)


def _yaml(document: Mapping[str, Any]) -> bytes:
    plain = orjson.loads(orjson.dumps(document))
    text: bytes = yaml.dump(plain, Dumper=_Yaml, sort_keys=False, allow_unicode=True, width=120, encoding="utf-8")
    return text


def asset(path: str, content_type: str) -> _Page:
    """Return a file of the folder `assets`."""
    return _Page.of(files("reservations.http").joinpath("assets", path).read_bytes(), content_type)


def serving(page: _Page) -> Handler:
    """Return what serves a page, with headers that let it load nothing from elsewhere."""

    async def serve(request: web.Request) -> web.Response:
        known = request.if_none_match or ()
        if any(tag.value in (page.tag, "*") for tag in known):
            response = web.Response(status=304, headers=_HEADERS)
        else:
            response = web.Response(body=page.content, headers={**_HEADERS, "Content-Type": page.content_type})
        response.etag = ETag(page.tag)
        return response

    return serve


def _without_slash(name: str) -> web.RouteDef:
    async def lead(_request: web.Request) -> web.Response:
        # Relative, so that it holds behind a proxy that puts the gateway under a path of its own.
        return web.Response(status=308, headers={"Location": f"../{name}"})

    return web.get(f"/{name}/", lead)
