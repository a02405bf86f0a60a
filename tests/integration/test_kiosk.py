"""The kiosk's lookup: confirmation code, trip date and party size together find a reservation, or nothing is told."""

from itertools import product
from typing import Any

from tests.bookings import book
from tests.service import Service

DAY, OTHER_DAY = "2027-06-12", "2027-06-13"


async def look_up(service: Service, code: str, day: str, party_size: int) -> tuple[int, Any]:
    """Look a reservation up as the kiosk does; return status and body."""
    query = {"confirmation_code": code, "start_date": day, "end_date": day, "party_size": str(party_size)}
    return (await service.ask("GET", "/reservations", params=query))[:2]


async def test_the_right_code_date_and_size_together_find_the_reservation(service: Service) -> None:
    made = await book(service, trip_date=DAY, party_size=3)
    status, found = await look_up(service, made["confirmation_code"], DAY, 3)
    assert (status, found["content"], found["total_elements"]) == (200, [made], 1)


async def test_every_wrong_combination_is_answered_alike(service: Service) -> None:
    made = await book(service, trip_date=DAY, party_size=3)
    other = await book(service, trip_date="2027-06-20", party_size=5)
    right = made["confirmation_code"]
    unused = right[:-1] + ("0" if right[-1] != "0" else "1")
    tries = product((right, other["confirmation_code"], unused, "ZZ0000000000"), (DAY, OTHER_DAY), (3, 4))
    answers = [await look_up(service, *each) for each in tries if each != (right, DAY, 3)]
    assert len(answers) == 15
    assert answers[0][0] == 200
    assert answers[0][1]["content"] == []
    assert all(answer == answers[0] for answer in answers)
