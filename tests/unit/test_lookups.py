"""Looking up by id: what happens between one caller's deadline and the next caller's request."""

import asyncio
from uuid import UUID

from reservations.agents.lookups import Lookup, ShortMemory, Ttls
from reservations.models.eligibility import Absence

KEY = UUID(int=1)


class Source:
    """Never answers the first time; answers the next time."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, _: UUID) -> str | Absence:
        """Answer, or hang."""
        self.asked += 1
        if self.asked == 1:
            await asyncio.Event().wait()
        return "found"


async def test_who_asks_in_the_moment_a_request_is_given_up_gets_one_of_their_own() -> None:
    source, now = Source(), asyncio.get_running_loop().time
    lookup = Lookup(source.ask, ShortMemory(10, now), Ttls(60, 60), lambda: None)
    assert await lookup.find([KEY], now() + 0.01) == {KEY: Absence.UNAVAILABLE}
    assert await lookup.find([KEY], now() + 10) == {KEY: "found"}


async def test_what_was_remembered_is_told_after_the_deadline() -> None:
    source, now = Source(), asyncio.get_running_loop().time
    source.asked = 1
    lookup = Lookup(source.ask, ShortMemory(10, now), Ttls(60, 60), lambda: None)
    await lookup.find([KEY], now() + 10)
    assert await lookup.find([KEY], now() - 1) == {KEY: "found"}
    assert source.asked == 2
