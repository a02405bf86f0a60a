"""Guest profiles and trip catalog in one server on loopback, which says and does what a test tells it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web

from reservations.app.serving import serving
from tests.neighbourhood import Behaviour

Answer = dict[str, Any]
PRICE = 199.99
STOP_LIMIT_S = 0.1


@dataclass
class Catalog:
    """Both neighbours: any id is that of an ordinary guest or trip, unless it was told otherwise."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    """The path of each request, in their order."""
    unknown: set[str] = field(default_factory=set)
    """Ids that are answered with 404."""
    misbehaves: dict[str, Behaviour] = field(default_factory=dict)
    """What comes instead of an answer, by id."""
    _differ: dict[str, Answer] = field(default_factory=dict)
    _certifications: dict[str, list[Answer]] = field(default_factory=dict)

    def trip(self, **differs: Any) -> str:
        """Offer a trip that differs from an ordinary one; return its id."""
        return self._tell(differs)

    def guest(self, certifications: list[Answer] | None = None, **differs: Any) -> str:
        """Have a guest who differs from an ordinary one; return the id."""
        guest_id = self._tell(differs)
        self._certifications[guest_id] = certifications or []
        return guest_id

    def nobody(self) -> str:
        """Return an id that is unknown."""
        self.unknown.add(unknown := str(uuid4()))
        return unknown

    def settings(self) -> dict[str, str]:
        """Return the settings that name both neighbours."""
        return {"GUEST_PROFILES_URL": self.url, "TRIP_CATALOG_URL": self.url}

    def application(self) -> web.Application:
        """Return both neighbours as one application; a request is given up when its caller goes away."""
        application = web.Application(handler_args={"handler_cancellation": True})
        application.add_routes(
            [
                web.get("/trips/{id}", self._trip),
                web.get("/guests/{id}", self._guest),
                web.get("/guests/{id}/certifications", self._certified),
            ]
        )
        return application

    def _tell(self, differs: Answer) -> str:
        self._differ[key := str(uuid4())] = differs
        return key

    async def _trip(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, {**_ordinary_trip(request), **self._differing(request)})

    async def _guest(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, {**_ordinary_guest(request), **self._differing(request)})

    async def _certified(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._certifications.get(request.match_info["id"], []))

    def _differing(self, request: web.Request) -> Answer:
        return self._differ.get(request.match_info["id"], {})

    async def _answer(self, request: web.Request, answer: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        key = request.match_info["id"]
        if key in self.misbehaves:
            return await self.misbehaves[key](request)
        if key in self.unknown:
            return web.json_response({"error": "NOT_FOUND"}, status=404)
        return web.json_response(answer)


def _ordinary_trip(request: web.Request) -> Answer:
    return {
        "id": request.match_info["id"],
        "status": "ACTIVE",
        "min_participants": 1,
        "max_participants": 12,
        "base_price": PRICE,
        "age_minimum": None,
        "required_certifications": [],
        "duration_hours": 7.5,
    }


def _ordinary_guest(request: web.Request) -> Answer:
    return {"guest_id": request.match_info["id"], "status": "ACTIVE", "date_of_birth": "1990-06-15"}


@asynccontextmanager
async def a_catalog() -> AsyncIterator[Catalog]:
    """Give a catalog that answers."""
    catalog = Catalog()
    async with serving(catalog.application(), "127.0.0.1", 0, stop_deadline_s=STOP_LIMIT_S) as catalog.url:
        yield catalog
