"""The served API does what its own OpenAPI document says, whatever is asked; `python -m tests.schema` asks far more."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.own_service import a_running_service
from tests.schema.ground import NOBODY, UNLIMITED, credentials
from tests.schema.trial import PHASES, Verdict, try_out
from tests.servers import Servers
from tests.tokens import Issuer

CASES, SEED = 24, 1
OPERATIONS = {
    "GET /reservations",
    "POST /reservations",
    "GET /reservations/{reservation_id}",
    "PATCH /reservations/{reservation_id}",
    "DELETE /reservations/{reservation_id}",
    "GET /reservations/{reservation_id}/participants",
    "POST /reservations/{reservation_id}/participants",
    "PUT /reservations/{reservation_id}/status",
    "GET /commands/{command_id}",
}

Verdicts = Mapping[str, Verdict]


@pytest.fixture(scope="module")
async def verdicts(
    servers: Servers, template: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Verdicts]:
    """Give what came of trying the API as a member of the staff, and as nobody, both at once."""
    folder = tmp_path_factory.mktemp("schema")
    settings = {**issuer.environment(folder), **UNLIMITED}
    async with a_running_service(servers, template, folder, settings, workers=1) as service:

        async def tried(role: str) -> Verdict:
            (own := folder / role).mkdir()
            who = credentials(role, issuer)
            return await try_out(service.gateway_url, who, own, cases=CASES, seed=SEED, phases=PHASES)

        staff, nobody = await asyncio.gather(tried("staff"), tried(NOBODY))
        yield {"staff": staff, NOBODY: nobody}


@pytest.mark.parametrize("role", ["staff", NOBODY])
async def test_every_answer_is_as_the_document_says(verdicts: Verdicts, role: str) -> None:
    assert not verdicts[role].failures, verdicts[role].printed


@pytest.mark.parametrize("role", ["staff", NOBODY])
async def test_every_operation_was_asked_often(verdicts: Verdicts, role: str) -> None:
    asked = {operation: seen.total() for operation, seen in verdicts[role].offered().items()}
    assert asked.keys() == OPERATIONS
    assert min(asked.values()) >= CASES


async def test_every_operation_was_also_used_with_success(verdicts: Verdicts) -> None:
    in_vain = [name for name, seen in verdicts["staff"].offered().items() if not {200, 201} & seen.keys()]
    assert not in_vain, "\n".join(verdicts["staff"].table())


async def test_links_led_on_from_what_was_created(verdicts: Verdicts) -> None:
    assert verdicts["staff"].links.total() > 0


async def test_nobody_got_anything(verdicts: Verdicts) -> None:
    answered = {status for seen in verdicts[NOBODY].offered().values() for status in seen}
    assert answered <= {401, 405}
