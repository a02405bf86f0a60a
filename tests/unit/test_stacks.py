"""The stacks of tasks, to the very place where each waits."""

import asyncio
from collections.abc import AsyncIterator, Generator

import pytest

from reservations.agents.stacks import dump_stacks


async def the_place() -> None:
    await asyncio.Event().wait()


class Awaitable:
    """Something that is awaited by way of a coroutine, as Faust's agents are."""

    def __await__(self) -> Generator[None, None, None]:
        return the_place().__await__()


async def generator() -> AsyncIterator[int]:
    await Awaitable()
    yield 1


async def iterate() -> None:
    async for _ in generator():
        pass


async def test_a_tasks_stack_leads_through_generators_and_awaitables(capfd: pytest.CaptureFixture[str]) -> None:
    task = asyncio.create_task(iterate(), name="the task")
    await asyncio.sleep(0)
    dump_stacks()
    task.cancel()
    said = capfd.readouterr().err
    stack = said.partition("Task the task")[2].partition("\nTask ")[0]
    places = [line.rpartition(" in ")[2] for line in stack.splitlines() if line.startswith("  File")]
    assert places == ["iterate", "generator", "the_place", "wait"]
    assert "Current thread" in said
