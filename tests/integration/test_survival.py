"""A command that breaks the program is found among those of its batch and set aside alone."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from reservations.agents.engine import Applies, Engine
from reservations.agents.months import BookableMonths
from reservations.agents.survival import Patience, Poisoned, Survivor
from reservations.models.commands import COMMANDS, AnyCommand, Command
from reservations.models.eligibility import Surroundings
from reservations.models.identifiers import unix_ms, uuid7
from reservations.models.steps import Rules
from reservations.models.worksheet import Outcome
from tests.bookings import a_booking, a_command, encoded
from tests.conditions import eventually
from tests.servers import Server

CANARY = "cAnArYeRrOr"  # the text of an error, which may repeat data: must not be logged


async def no_neighbours(_: Sequence[AnyCommand]) -> Surroundings:
    """Know nothing of guests and trips, as where no neighbour is configured."""
    return Surroundings()


class Breaking:
    """An engine that breaks for certain commands, before or after the others of their batch were written."""

    def __init__(self, engine: Applies, breaking: set[UUID]) -> None:
        self._engine = engine
        self._breaking = breaking

    async def apply(self, commands: Sequence[AnyCommand]) -> list[Outcome]:
        """Apply the commands, or break."""
        if any(command.command_id in self._breaking for command in commands):
            raise ZeroDivisionError(CANARY)
        return await self._engine.apply(commands)


@pytest.mark.parametrize("poisoned", [[0], [17], [49], [0, 24, 25, 49], list(range(50))], ids=str)
async def test_only_the_command_that_breaks_the_program_is_set_aside(
    database: str, poisoned: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    reservation_id = str(uuid7(unix_ms(datetime.now(UTC))))
    creation = a_command("reservation.create", a_booking(), reservation_id=reservation_id)
    commands = [an_update(reservation_id, party_size=n + 2) for n in range(50)]
    breaking = {commands[n].command_id for n in poisoned}
    async with asyncpg.create_pool(database, min_size=1, max_size=1) as pool:
        months = BookableMonths()
        await months.keep(pool)
        engine = Engine(pool, months, no_neighbours, Rules(), lane="commands")
        await engine.apply([COMMANDS.validate_json(encoded(creation))])
        survivor = Survivor(Breaking(engine, breaking), Patience(asyncio.Event(), lambda *_: None))
        verdicts = await survivor.apply(commands)
        kept = {row["message_id"] for row in await pool.fetch("SELECT message_id FROM reservations.inbox")}
    assert [n for n, verdict in enumerate(verdicts) if isinstance(verdict, Poisoned)] == poisoned
    assert [verdict.command for verdict in verdicts] == commands
    applied = [json.loads(each.result or "")["reservation"] for each in verdicts if isinstance(each, Outcome)]
    expected = [n + 2 for n in range(50) if n not in poisoned]
    assert [(each["_rev"], each["party_size"]) for each in applied] == list(enumerate(expected, start=2))
    assert kept == {UUID(creation["command_id"]), *(command.command_id for command in commands)} - breaking
    assert CANARY not in capsys.readouterr().out


async def test_a_database_that_lets_nobody_in_for_now_is_waited_for(postgres: Server, database: str) -> None:
    name = urlsplit(database).path.lstrip("/")
    command = COMMANDS.validate_json(encoded(a_command("reservation.create", a_booking())))
    patience = Patience(asyncio.Event(), lambda *_: None)
    async with asyncpg.create_pool(database, min_size=0, max_size=1) as pool:
        months = BookableMonths()
        await months.keep(pool)
        await pool.expire_connections()
        survivor = Survivor(Engine(pool, months, no_neighbours, Rules(), lane="commands"), patience)
        administrator = await asyncpg.connect(postgres.address)
        try:
            await administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            applying = asyncio.create_task(survivor.apply([command]))
            await eventually(lambda: tried_again(patience, applying))
        finally:
            await administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            await administrator.close()
        (verdict,) = await applying
    assert isinstance(verdict, Outcome)
    assert verdict.kind == "applied"


async def tried_again(patience: Patience, applying: "asyncio.Task[object]") -> bool:
    """Tell whether a batch was tried twice and is still not given up."""
    assert not applying.done(), applying.result()
    return patience.attempts >= 2


def an_update(reservation_id: str, **changes: Any) -> Command:
    """Return a change to the reservation."""
    command = a_command("reservation.update", changes, reservation_id=reservation_id)
    return COMMANDS.validate_json(encoded(command))
