"""Who sees and changes what: every operation by every role, on what is theirs, somebody else's and nobody's.

The table in docs/authorization.md is what this test saw; UPDATE_DOCS=1 writes it there.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import pytest

from tests.bookings import a_booking, a_command, encoded, new_reservation_id
from tests.conditions import eventually
from tests.message_schemas import commands_of
from tests.service import Service
from tests.tokens import Issuer, a_guest, a_partner, a_service, bearing

DOCUMENT = Path(__file__).parents[2] / "docs" / "authorization.md"
ROLES = ("guest", "staff", "service, read", "service, write", "service, no scope", "partner")
HEADER = f"| operation | {' | '.join(ROLES)} |"
#: Who acts for somebody: what is not theirs is not there for them.
BOUND = ("guest", "partner")


@dataclass(frozen=True, slots=True)
class Request:
    """An operation as it is asked for; `{id}` in the path stands for a reservation."""

    name: str
    method: str
    path: str
    body: dict[str, Any] | None = None


ON_ONE = (
    Request("read it", "GET", "/reservations/{id}"),
    Request("read it with history and payments", "GET", "/reservations/{id}?include=status_history,payments"),
    Request("read its party", "GET", "/reservations/{id}/participants"),
    Request("modify it", "PATCH", "/reservations/{id}", {"_rev": 1, "special_requirements": "Vegan meals"}),
    Request("change its price", "PATCH", "/reservations/{id}", {"_rev": 1, "total_amount": 1.0}),
    Request("add a participant", "POST", "/reservations/{id}/participants", {"guest_id": str(uuid4())}),
    Request("check it in", "PUT", "/reservations/{id}/status", {"_rev": 1, "target_status": "CHECKED_IN"}),
    Request("assign its gear", "PUT", "/reservations/{id}/status", {"_rev": 1, "target_status": "GEAR_ASSIGNED"}),
    Request("cancel it", "DELETE", "/reservations/{id}?reason=GUEST_REQUEST"),
)


@dataclass(frozen=True, slots=True)
class Somebody:
    """A caller: a token, and the guest whom the caller books for."""

    headers: Mapping[str, str]
    guest_id: str


@dataclass(frozen=True, slots=True)
class House:
    """The guarded service, and everybody who calls it."""

    service: Service
    issuer: Issuer

    def somebody(self, role: str) -> Somebody:
        """Return a caller of that role, another guest or partner each time."""
        guest_id, partner_id = uuid4(), uuid4().hex
        claims = {
            "guest": a_guest(guest_id),
            "staff": {},
            "service, read": a_service("read"),
            "service, write": a_service("write"),
            "service, no scope": a_service(),
            "partner": a_partner(partner_id),
        }[role]
        return Somebody(bearing(self.issuer.token(claims)), str(guest_id))

    async def ask(
        self, caller: Somebody, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[int, Any]:
        """Send a request as a caller; return status and body."""
        options["headers"] = {**caller.headers, **(headers or {})}
        status, answer, _ = await self.service.ask(method, path, **options)
        return status, answer

    async def book(self, caller: Somebody, **changes: Any) -> dict[str, Any]:
        """Make a reservation of three seats as a caller, for whom they book."""
        body = a_booking(**{"guest_id": caller.guest_id, "party_size": 3, **changes})
        status, made = await self.ask(caller, "POST", "/reservations", json=body)
        assert status == 201, made
        reservation: dict[str, Any] = made
        return reservation

    async def own(self, role: str) -> tuple[Somebody, str]:
        """Return a caller, and a new reservation: their own, as far as they can have one."""
        caller = self.somebody(role)
        maker = caller if role in BOUND else self.somebody("staff")
        return caller, str((await self.book(maker))["id"])

    async def others(self, role: str) -> tuple[Somebody, str]:
        """Return a caller, and a new reservation of another guest, made by the staff."""
        return self.somebody(role), str((await self.book(self.somebody("staff")))["id"])

    async def missing(self, role: str) -> tuple[Somebody, str]:
        """Return a caller, and an id that no reservation has."""
        return self.somebody(role), new_reservation_id()


Target = Callable[[House, str], Awaitable[tuple[Somebody, str]]]
TARGETS: Mapping[str, Target] = {"own": House.own, "other": House.others, "missing": House.missing}
Cell = Mapping[str, tuple[int, Any]]


@pytest.fixture(scope="module")
async def house(guarded: Service, issuer: Issuer) -> House:
    return House(guarded, issuer)


@pytest.fixture(scope="module")
async def matrix(house: House) -> Mapping[tuple[str, str], Cell]:
    """Give what every role is answered to every operation on one reservation, by whose it is."""
    seen: dict[tuple[str, str], Cell] = {}
    for request in ON_ONE:
        cells = await asyncio.gather(*(cell(house, request, role) for role in ROLES))
        seen |= {(request.name, role): each for role, each in zip(ROLES, cells, strict=True)}
    return seen


async def cell(house: House, request: Request, role: str) -> Cell:
    """Return what a role is answered, by whose reservation it asks for."""
    answers = {}
    for whose, target in TARGETS.items():
        caller, reservation_id = await target(house, role)
        status, answer = await house.ask(
            caller, request.method, request.path.replace("{id}", reservation_id), json=request.body
        )
        answers[whose] = (status, _comparable(answer, reservation_id))
    return answers


def _comparable(answer: Any, reservation_id: str) -> Any:
    """Return an answer without what differs each time."""
    if not isinstance(answer, dict) or "error" not in answer:
        return answer
    varying = ("timestamp", "trace_id")
    kept = {name: value for name, value in answer.items() if name not in varying}
    return {**kept, "message": kept["message"].replace(reservation_id, "{id}"), "reservation_id": None}


def table(matrix: Mapping[tuple[str, str], Cell], collection: Sequence[str]) -> str:
    """Return the matrix as the document shows it."""
    lines = [HEADER, "|---" * (len(ROLES) + 1) + "|", *collection]
    for request in ON_ONE:
        cells = [" / ".join(str(matrix[request.name, role][whose][0]) for whose in TARGETS) for role in ROLES]
        lines.append(f"| {request.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


async def collection_rows(house: House) -> list[str]:
    """Return the rows of the operations that are not on one reservation."""
    creating, searching, asking = [], [], []
    for role in ROLES:
        caller = house.somebody(role)
        mine, _ = await house.ask(caller, "POST", "/reservations", json=a_booking(guest_id=caller.guest_id))
        other, _ = await house.ask(caller, "POST", "/reservations", json=a_booking())
        creating.append(f"{mine} / {other} / -")
        status, page = await house.ask(caller, "GET", "/reservations?cursor=&size=100")
        strangers = [each for each in page.get("content", ()) if each["guest_id"] != caller.guest_id]
        seen = "-" if status != 200 else "everybody's" if strangers and role not in BOUND else "own"
        searching.append(f"{status}, {seen}" if status == 200 else str(status))
        asking.append(await _asked_for_a_command(house, caller))
    return [
        f"| book, for oneself or another | {' | '.join(creating)} |",
        f"| search | {' | '.join(searching)} |",
        f"| ask after another's command | {' | '.join(asking)} |",
    ]


async def _asked_for_a_command(house: House, caller: Somebody) -> str:
    command_id = await an_applied_command(house)
    status, answer = await house.ask(caller, "GET", f"/commands/{command_id}")
    return f"{status}, {answer['status']}"


async def an_applied_command(house: House) -> str:
    """Return the id of a command that somebody else sent and that was applied."""
    caller = house.somebody("guest")
    prefer = {"Prefer": "respond-async"}
    body = a_booking(guest_id=caller.guest_id)
    status, accepted = await house.ask(caller, "POST", "/reservations", prefer, json=body)
    assert status == 202

    async def is_applied() -> bool:
        _, answer = await house.ask(caller, "GET", f"/commands/{accepted['command_id']}")
        return bool(answer["status"] == "APPLIED")

    await eventually(is_applied)
    return str(accepted["command_id"])


async def test_the_document_shows_what_every_role_is_answered(
    house: House, matrix: Mapping[tuple[str, str], Cell]
) -> None:
    seen = table(matrix, await collection_rows(house))
    text = DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(HEADER)
    shown, after = HEADER + rest.split("\n\n")[0].rstrip("\n"), rest[len(rest.split("\n\n")[0]) :]
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(before + seen + (after or "\n"), "utf-8")
        return
    assert seen == shown.rstrip("\n")


@pytest.mark.parametrize("role", BOUND)
def test_what_is_somebody_elses_is_answered_as_what_does_not_exist(
    matrix: Mapping[tuple[str, str], Cell], role: str
) -> None:
    for request in ON_ONE:
        answers = matrix[request.name, role]
        assert answers["other"] == answers["missing"], request.name
        assert answers["other"][0] in {403, 404}


def test_a_refusal_of_the_role_does_not_depend_on_the_reservation(matrix: Mapping[tuple[str, str], Cell]) -> None:
    refused = [answers for answers in matrix.values() if any(status == 403 for status, _ in answers.values())]
    assert len(refused) > len(ON_ONE)
    for answers in refused:
        assert answers["own"] == answers["other"] == answers["missing"]


async def test_a_search_by_any_filter_finds_only_what_is_ones_own(house: House) -> None:
    for role in BOUND:
        caller = house.somebody(role)
        mine = await house.book(caller)
        other = await house.book(house.somebody("staff"), trip_id=mine["trip_id"])
        day = other["trip_date"]
        for query in (
            "",
            f"trip_id={mine['trip_id']}",
            f"guest_id={other['guest_id']}",
            f"confirmation_code={other['confirmation_code']}",
            f"status=CONFIRMED&start_date={day}&end_date={day}",
            "party_size=3",
            "size=100&page=0",
            "cursor=",
        ):
            status, page = await house.ask(caller, "GET", f"/reservations?{query}")
            assert status == 200, page
            found = {each["id"] for each in page["content"]}
            assert found <= {mine["id"]}, query
            assert page["total_elements"] in {None, len(found)}
            assert found or other["guest_id"] in query or other["confirmation_code"] in query


async def test_a_cursor_does_not_lead_to_what_is_not_ones_own(house: House) -> None:
    caller = house.somebody("partner")
    mine = [(await house.book(caller, guest_id=str(uuid4())))["id"] for _ in range(5)]
    for _ in range(3):
        await house.book(house.somebody("staff"))
    found, cursor = [], ""
    while True:
        status, page = await house.ask(caller, "GET", f"/reservations?size=2&cursor={cursor}")
        assert status == 200
        found += [each["id"] for each in page["content"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == mine[::-1]


async def test_anothers_command_looks_like_one_that_was_never_sent(house: House) -> None:
    command_id = await an_applied_command(house)
    for role in (*BOUND, "service, write"):
        caller = house.somebody(role)
        _, anothers = await house.ask(caller, "GET", f"/commands/{command_id}")
        _, unknown = await house.ask(caller, "GET", f"/commands/{(unsent := str(uuid4()))}")
        assert anothers == {**unknown, "command_id": command_id}
        assert unknown == {"command_id": unsent, "status": "PENDING", "result": None}


async def test_an_idempotency_key_of_another_caller_is_another_key(house: House) -> None:
    key = {"Idempotency-Key": f"key-{uuid4()}"}
    made = []
    for caller in (house.somebody("guest"), house.somebody("guest"), house.somebody("partner")):
        body = a_booking(guest_id=caller.guest_id)
        for _ in range(2):
            status, reservation = await house.ask(caller, "POST", "/reservations", key, json=body)
            assert status == 201
            made.append(reservation["id"])
    assert made[0] == made[1]
    assert made[2] == made[3]
    assert made[4] == made[5]
    assert len(set(made)) == 3


async def test_who_did_it_stands_in_the_history(house: House) -> None:
    guest = house.somebody("guest")
    made = await house.book(guest)
    status, _ = await house.ask(
        house.somebody("staff"),
        "PUT",
        f"/reservations/{made['id']}/status",
        json={"_rev": 1, "target_status": "CHECKED_IN"},
    )
    assert status == 200
    _, shown = await house.ask(guest, "GET", f"/reservations/{made['id']}?include=status_history")
    changed_by = [change["changed_by"] for change in shown["status_history"]]
    assert changed_by == [f"guest:{guest.guest_id}", "staff:sam"]


async def test_the_worker_itself_holds_who_acts_for_a_guest_to_what_is_theirs(house: House) -> None:
    """The gateway is not the only one that sends commands."""
    other = await house.book(house.somebody("staff"))
    stranger = {"guest_id": str(uuid4())}
    asked = (
        a_command("reservation.cancel", {"reason": "WEATHER"}, reservation_id=other["id"], acting_for=stranger),
        a_command("reservation.create", a_booking(), acting_for=stranger),
    )
    staff = house.somebody("staff")
    for command in asked:
        await house.service.send(encoded(command), str(command.get("reservation_id", "")).encode() or b"k")

    async def outcomes() -> list[Any] | None:
        answers = [(await house.ask(staff, "GET", f"/commands/{command['command_id']}"))[1] for command in asked]
        return answers if all(answer["status"] == "REJECTED" for answer in answers) else None

    answers = await eventually(outcomes)
    assert answers
    codes = [answer["result"]["error"]["code"] for answer in answers]
    assert codes == ["RESERVATION_NOT_FOUND", "FORBIDDEN"]
    _, shown = await house.ask(staff, "GET", f"/reservations/{other['id']}")
    assert shown["status"] == "CONFIRMED"


async def test_a_command_says_for_whom_it_is_as_its_document_says(house: House) -> None:
    trace = uuid4().hex
    guest, partner, staff = (house.somebody(role) for role in ("guest", "partner", "staff"))
    for caller in (guest, partner, staff):
        await house.book(replace(caller, headers={**caller.headers, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}))
    told = {each["payload"]["guest_id"]: each.get("acting_for") for each in await commands_of(house.service, trace)}
    assert told[guest.guest_id] == {"guest_id": guest.guest_id}
    assert list(told[partner.guest_id] or ()) == ["partner_id"]
    assert told[staff.guest_id] is None


async def test_what_a_partner_made_is_not_shown_as_such(house: House) -> None:
    made = await house.book(house.somebody("partner"))
    _, shown = await house.ask(house.somebody("staff"), "GET", f"/reservations/{made['id']}")
    assert shown == made
    assert "partner_id" not in made


async def test_the_time_of_an_answer_does_not_tell_what_exists(house: House) -> None:
    """Of two random answers, one about another's reservation and one about none, either is as likely the later one."""
    guest = house.somebody("guest")
    others = [(await house.book(house.somebody("staff")))["id"] for _ in range(4)]
    times: dict[str, list[float]] = {"other": [], "missing": []}
    for number in range(400):
        for whose, reservation_id in (("other", others[number % 4]), ("missing", new_reservation_id())):
            begun = perf_counter()
            status, _ = await house.ask(guest, "GET", f"/reservations/{reservation_id}")
            times[whose].append(perf_counter() - begun)
            assert status == 404
    later = sum(other > missing for other in times["other"] for missing in times["missing"]) / 400**2
    assert 0.4 < later < 0.6
