"""Seats, guest days and prices: never more sold than there are, whoever else books at the same moment."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest

from reservations.agents import engine as engine_module
from reservations.agents.engine import Engine
from reservations.agents.months import BookableMonths
from reservations.models.commands import COMMANDS as COMMAND_TYPES
from reservations.models.commands import AnyCommand
from reservations.models.eligibility import Surroundings
from reservations.models.errors import ErrorCode
from reservations.models.steps import Rules
from reservations.models.topics import BULK_COMMANDS, COMMANDS
from reservations.tables import trip_slots
from tests.bookings import a_booking, a_command, book, encoded, new_reservation_id, perform
from tests.catalog import PRICE, Catalog, a_catalog
from tests.conditions import eventually
from tests.own_service import QUICK, a_running_service, connected
from tests.servers import Servers
from tests.service import Service

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

Json = dict[str, Any]

SEATS = 40
DAY, OTHER_DAY = "2027-06-12", "2027-06-19"
LIMIT_S = 60
#: Notes what every trip date has sold, while its row is locked: so in the order of the commits.
NOTE_SALES = """
CREATE TABLE public.sales (sale bigserial, trip_id uuid, trip_date date, taken integer);
CREATE FUNCTION public.note_sale() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO public.sales (trip_id, trip_date, taken) VALUES (NEW.trip_id, NEW.trip_date, NEW.taken);
  RETURN NULL;
END $$;
CREATE TRIGGER note_sale AFTER INSERT OR UPDATE ON reservations.trip_slots
FOR EACH ROW EXECUTE FUNCTION public.note_sale()"""
SALES = "SELECT taken FROM public.sales WHERE trip_id = $1 ORDER BY sale"
SOLD = """
SELECT s.taken, s.capacity, coalesce(sum(r.party_size) FILTER (WHERE r.status <> 'cancelled'), 0)::int AS held
FROM reservations.trip_slots AS s LEFT JOIN reservations.reservations AS r USING (trip_id, trip_date)
WHERE s.trip_id = $1 AND s.trip_date = $2::text::date GROUP BY s.taken, s.capacity"""


@pytest.fixture(scope="module")
async def catalog() -> AsyncIterator[Catalog]:
    """Give a trip catalog."""
    async with a_catalog() as catalog:
        yield catalog


@pytest.fixture(scope="module")
async def shop(
    servers: Servers, template: str, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Give a service of two workers that knows the trip catalog, and callers who are patient and many."""
    settings = {
        **QUICK,
        "TRIP_CATALOG_URL": catalog.url,
        "ELIGIBILITY_BUDGET_S": "20",
        "COMMAND_TIMEOUT_S": "45",
        "MAX_BATCH_SIZE": "5",  # many transactions, of both workers at a time
    }
    async with (
        a_running_service(servers, template, tmp_path_factory.mktemp("shop"), settings) as service,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        connected(service) as connection,
    ):
        await connection.execute(NOTE_SALES)
        yield replace(service, session=session)


def a_sale(trip_id: str, **changes: Any) -> Json:
    """Return a booking of a trip, priced by the catalog."""
    booking = a_booking(trip_id=trip_id, **changes)
    del booking["total_amount"]
    return booking


async def sell(service: Service, trip_id: str, **changes: Any) -> Json:
    """Book a trip over REST; return the reservation."""
    status, made, _ = await service.ask("POST", "/reservations", json=a_sale(trip_id, **changes))
    assert status == 201, made
    reservation: Json = made
    return reservation


async def over_rest(service: Service, bookings: Sequence[Json]) -> list[Json]:
    """Book all at once over REST; return the reservations and the refusals."""
    answers = await asyncio.gather(*(service.ask("POST", "/reservations", json=each) for each in bookings))
    assert {status for status, _, _ in answers} <= {201, 409}, Counter(status for status, _, _ in answers)
    return [body for _, body, _ in answers]


async def over_kafka(service: Service, bookings: Sequence[Json], lane: str = COMMANDS.name) -> list[Json]:
    """Book all at once over Kafka; return the reservations and the refusals, as REST shows them."""
    commands = [a_command("reservation.create", each) for each in bookings]
    results = await perform(service, *commands, topic=lane, limit_s=LIMIT_S)
    return [each["reservation"] or {"error": each["error"]["code"]} for each in results]


def codes(answers: Sequence[Json]) -> Counter[str]:
    """Return how often each code was answered; CONFIRMED for what was sold."""
    return Counter(str(each.get("error") or each["status"]) for each in answers)


async def sold(connection: "AnyConnection", trip_id: str, day: str = DAY) -> tuple[int, int | None, int]:
    """Return the seats of a trip date: counted, there at all if that is known, and held by reservations."""
    return tuple(await connection.fetchrow(SOLD, UUID(trip_id), day) or (0, 0, 0))


async def assert_never_overbooked(service: Service, trip_id: str) -> int:
    """Look at the sales of a trip date in the order of their commits; return how many seats were ever sold."""
    async with connected(service) as connection:
        sales = [row["taken"] for row in await connection.fetch(SALES, UUID(trip_id))]
        assert await trip_slots.imbalances(connection) == []
    assert all(0 <= taken <= SEATS for taken in sales)
    return sum(max(0, now - before) for before, now in pairwise(sales))


@asynccontextmanager
async def watched(service: Service, trip_id: str) -> AsyncIterator[None]:
    """Look at the seats all the while: no reader ever sees more sold than there are, or a count that is wrong."""
    done, seen = asyncio.Event(), Counter[int]()
    async with connected(service) as connection:

        async def look() -> bool:
            taken, capacity, held = await sold(connection, trip_id)
            assert taken == held <= (capacity or SEATS)
            seen[taken] += 1
            return done.is_set()

        watching = asyncio.create_task(eventually(look, limit_s=2 * LIMIT_S))
        try:
            yield
        finally:
            done.set()
            await watching
    assert len(seen) > 1, "nothing happened while it was watched"


async def test_five_hundred_callers_for_forty_seats_are_sold_exactly_forty(shop: Service, catalog: Catalog) -> None:
    trip = catalog.trip(max_participants=SEATS)
    bookings = [a_sale(trip, party_size=1 + number % 3) for number in range(500)]
    async with watched(shop, trip):
        answers = await asyncio.gather(
            over_rest(shop, bookings[:300]),
            over_kafka(shop, bookings[300:400]),
            over_kafka(shop, bookings[400:], BULK_COMMANDS.name),
        )
    everybody = [each for group in answers for each in group]
    winners = [each for each in everybody if "error" not in each]
    assert sum(each["party_size"] for each in winners) == SEATS
    assert codes(everybody) == {"CONFIRMED": len(winners), "TRIP_FULLY_BOOKED": 500 - len(winners)}
    async with connected(shop) as connection:
        assert await sold(connection, trip) == (SEATS, SEATS, SEATS)
    assert await assert_never_overbooked(shop, trip) == SEATS


async def come_and_go(service: Service, trip_id: str) -> list[Json]:
    """Book over REST and cancel what was got; return what was answered."""
    (answer,) = await over_rest(service, [a_sale(trip_id, party_size=2)])
    if "error" in answer:
        return [answer]
    path = f"/reservations/{answer['id']}"
    status, cancelled, _ = await service.ask("DELETE", path, params={"reason": "GUEST_REQUEST"})
    assert (status, cancelled["status"]) == (200, "CANCELLED")
    return [answer]


async def come_and_go_over_kafka(service: Service, trip_id: str, lane: str) -> list[Json]:
    """Book over Kafka and cancel what was got, over and over; return what was answered."""
    told: list[Json] = []
    for _ in range(4):
        answers = await over_kafka(service, [a_sale(trip_id) for _ in range(25)], lane)
        told += answers
        ends = [
            a_command("reservation.cancel", {"reason": "WEATHER"}, reservation_id=each["id"])
            for each in answers
            if "error" not in each
        ]
        results = await perform(service, *ends, topic=lane, limit_s=LIMIT_S) if ends else []
        assert all(each["outcome"] == "applied" for each in results)
    return told


async def test_seats_that_are_given_back_are_sold_again_and_never_twice_at_a_time(
    shop: Service, catalog: Catalog
) -> None:
    trip = catalog.trip(max_participants=SEATS)
    stay = [a_sale(trip) for _ in range(20)]
    async with watched(shop, trip):
        answers = await asyncio.gather(
            over_rest(shop, stay),
            *(come_and_go(shop, trip) for _ in range(200)),
            come_and_go_over_kafka(shop, trip, COMMANDS.name),
            come_and_go_over_kafka(shop, trip, BULK_COMMANDS.name),
        )
        stayed = sum("error" not in each for each in answers[0])
        last = await over_rest(shop, [a_sale(trip) for _ in range(SEATS + 10)])
    told = codes([each for group in answers for each in group])
    assert set(told) <= {"CONFIRMED", "TRIP_FULLY_BOOKED"}
    assert codes(last) == {"CONFIRMED": SEATS - stayed, "TRIP_FULLY_BOOKED": 10 + stayed}
    assert await assert_never_overbooked(shop, trip) > SEATS
    async with connected(shop) as connection:
        assert await sold(connection, trip) == (SEATS, SEATS, SEATS)


async def change(service: Service, reservation: Json, **changes: Any) -> tuple[int, Json]:
    """Change a reservation over REST; return status and body."""
    path, body = f"/reservations/{reservation['id']}", {"_rev": reservation["_rev"], **changes}
    status, answer, _ = await service.ask("PATCH", path, json=body)
    return status, answer


async def test_another_party_size_or_date_moves_the_seats(shop: Service, catalog: Catalog) -> None:
    trip = catalog.trip(max_participants=6)
    mine, others = await sell(shop, trip, party_size=3), await sell(shop, trip, party_size=2)
    status, refusal = await change(shop, mine, party_size=5)
    assert (status, refusal["error"], refusal["free_seats"]) == (409, "TRIP_FULLY_BOOKED", 4)
    async with connected(shop) as connection:
        for changes, here, there in (
            ({"party_size": 4}, 6, 0),
            ({"party_size": 1}, 3, 0),
            ({"trip_date": OTHER_DAY}, 2, 1),
            ({"trip_date": DAY, "party_size": 4}, 6, 0),
            ({"trip_date": OTHER_DAY, "party_size": 6}, 2, 6),
        ):
            status, mine = await change(shop, mine, **changes)
            assert status == 200, mine
            assert ((await sold(connection, trip))[0], (await sold(connection, trip, OTHER_DAY))[0]) == (here, there)
        status, refusal = await change(shop, others, trip_date=OTHER_DAY)
        assert (status, refusal["error"], refusal["free_seats"]) == (409, "TRIP_FULLY_BOOKED", 0)
        assert await trip_slots.imbalances(connection) == []


async def test_a_creation_and_the_moves_right_behind_it_keep_the_books(shop: Service, catalog: Catalog) -> None:
    trip = catalog.trip(max_participants=30)
    commands: list[Json] = []
    for number in range(20):
        same = {"reservation_id": new_reservation_id()}
        commands += [
            a_command("reservation.create", a_sale(trip, trip_date="2027-08-01"), **same),
            a_command("reservation.update", {"trip_date": f"2027-08-{number + 2:02d}", "party_size": 2}, **same),
        ]
    results = await perform(shop, *commands, limit_s=LIMIT_S)
    assert Counter(each["outcome"] for each in results) == {"applied": 40}
    async with connected(shop) as connection:
        assert await trip_slots.imbalances(connection) == []
        held = [(await sold(connection, trip, f"2027-08-{day:02d}"))[0] for day in range(1, 22)]
    assert held == [0] + [2] * 20


async def test_a_batch_may_make_a_reservation_and_move_it(database: str) -> None:
    guest, trip, same = str(uuid4()), str(uuid4()), {"reservation_id": new_reservation_id()}
    batch = [
        a_command("reservation.create", a_booking(guest_id=guest, trip_id=trip, trip_date=DAY), **same),
        a_command("reservation.update", {"trip_date": OTHER_DAY}, **same),
        a_command("reservation.create", a_booking(guest_id=guest, trip_date=OTHER_DAY)),
    ]
    async with asyncpg.create_pool(database, min_size=1, max_size=1) as pool:
        months = BookableMonths()
        await months.keep(pool)
        engine = Engine(pool, months, no_neighbours, Rules(), lane=COMMANDS.lane)
        outcomes = await engine.apply([COMMAND_TYPES.validate_json(encoded(each)) for each in batch])
        async with pool.acquire() as connection:
            assert [(await sold(connection, trip, day))[0] for day in (DAY, OTHER_DAY)] == [0, 1]
            assert await trip_slots.imbalances(connection) == []
    assert [each.code for each in outcomes] == [None, None, ErrorCode.OVERLAPPING_RESERVATION]


async def test_seats_that_others_take_after_they_were_read_are_not_sold_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip, write = uuid4(), engine_module.write

    async def lose_and_write(connection: "AnyConnection", sheet: Any) -> None:
        async with pool.acquire() as other:
            await other.execute("UPDATE reservations.trip_slots SET taken = 2 WHERE trip_id = $1 AND taken = 1", trip)
        await write(connection, sheet)

    async with asyncpg.create_pool(database, min_size=2, max_size=2) as pool:
        await pool.execute("INSERT INTO reservations.trip_slots VALUES ($1, $2::text::date, 2, 1)", trip, DAY)
        months = BookableMonths()
        await months.keep(pool)
        engine = Engine(pool, months, no_neighbours, Rules(), lane=COMMANDS.lane)
        monkeypatch.setattr(engine_module, "write", lose_and_write)
        command = a_command("reservation.create", a_booking(trip_id=str(trip), trip_date=DAY))
        batch = [COMMAND_TYPES.validate_json(encoded(command))]
        with pytest.raises(trip_slots.SeatsTakenError):
            await engine.apply(batch)
        assert await pool.fetchval("SELECT count(*) FROM reservations.inbox") == 0
        assert [each.code for each in await engine.apply(batch)] == [ErrorCode.TRIP_FULLY_BOOKED]


async def no_neighbours(_: Sequence[AnyCommand]) -> Surroundings:
    """Know nothing of guests and trips, as where no neighbour is configured."""
    return Surroundings()


async def test_of_fifty_reservations_of_a_guest_for_a_day_one_wins(shop: Service) -> None:
    guest = str(uuid4())
    bookings = [a_sale(str(uuid4()), guest_id=guest) for _ in range(50)]
    answers = await asyncio.gather(
        over_rest(shop, bookings[:20]),
        over_kafka(shop, bookings[20:35]),
        over_kafka(shop, bookings[35:], BULK_COMMANDS.name),
    )
    everybody = [each for group in answers for each in group]
    assert codes(everybody) == {"CONFIRMED": 1, "OVERLAPPING_RESERVATION": 49}
    (winner,) = [each for each in everybody if "error" not in each]
    await shop.ask("DELETE", f"/reservations/{winner['id']}", params={"reason": "GUEST_REQUEST"})
    assert (await sell(shop, str(uuid4()), guest_id=guest))["status"] == "CONFIRMED"
    async with connected(shop) as connection:
        assert await trip_slots.imbalances(connection) == []


async def test_a_reservation_can_not_be_moved_to_a_day_on_which_its_guest_travels(shop: Service) -> None:
    guest = str(uuid4())
    first = await sell(shop, str(uuid4()), guest_id=guest)
    second = await sell(shop, str(uuid4()), guest_id=guest, trip_date=OTHER_DAY)
    status, refusal = await change(shop, second, trip_date=DAY)
    assert (status, refusal["error"], refusal["trip_date"]) == (409, "OVERLAPPING_RESERVATION", DAY)
    assert (await shop.ask("GET", f"/reservations/{second['id']}"))[1] == second
    assert (await change(shop, first, trip_date="2027-06-20"))[0] == 200
    assert (await change(shop, second, trip_date=DAY))[0] == 200


async def test_without_a_catalog_there_is_no_limit_and_the_seats_are_counted_all_the_same(service: Service) -> None:
    trip = str(uuid4())
    for _ in range(3):
        await book(service, trip_id=trip, party_size=100)
    async with connected(service) as connection:
        assert await sold(connection, trip) == (300, None, 300)


async def test_the_catalog_prices_the_party(shop: Service, catalog: Catalog) -> None:
    trip = catalog.trip(base_price=33.35)
    made = await sell(shop, trip, party_size=3)
    assert made["total_amount"] == 100.05
    named = await sell(shop, trip, participants=[{"guest_id": str(uuid4())}, {"guest_id": str(uuid4())}])
    assert named["total_amount"] == 66.7
    right = await sell(shop, trip, party_size=3, trip_date=OTHER_DAY)
    assert right["total_amount"] == 100.05
    status, told, _ = await shop.ask("POST", "/reservations", json=a_booking(trip_id=trip, total_amount=33.35))
    assert (status, told["total_amount"]) == (201, 33.35)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"total_amount": PRICE + 0.01}, "total_amount"),
        ({"total_amount": 0}, "total_amount"),
        ({"currency": "EUR"}, "currency"),
    ],
)
async def test_another_price_or_currency_than_the_catalog_s_is_refused_by_name(
    shop: Service, changes: Json, field: str
) -> None:
    body = {**a_sale(str(uuid4())), **changes}
    status, refusal, _ = await shop.ask("POST", "/reservations", json=body)
    assert (status, refusal["error"], [each["field"] for each in refusal["fields"]]) == (
        400,
        "VALIDATION_FAILED",
        [field],
    )
    _, found, _ = await shop.ask("GET", "/reservations", params={"guest_id": body["guest_id"]})
    assert found["total_elements"] == 0


async def test_another_party_size_is_priced_anew_and_another_date_is_not(shop: Service, catalog: Catalog) -> None:
    made = await sell(shop, catalog.trip(base_price=10.5))
    status, refusal = await change(shop, made, party_size=4, total_amount=41.0)
    assert (status, refusal["fields"][0]["field"]) == (400, "total_amount")
    for changes, total in (({"party_size": 4}, 42.0), ({"trip_date": OTHER_DAY}, 42.0), ({"party_size": 2}, 21.0)):
        status, made = await change(shop, made, **changes)
        assert (status, made["total_amount"]) == (200, total)
