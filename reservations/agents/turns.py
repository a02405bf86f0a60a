"""Turns: long work on the event loop is cut, so that whoever has a little to do waits for a piece of it only."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

#: Messages decoded, decided or told at a stretch, about a millisecond's work.
MESSAGES_PER_TURN = 20

Given = TypeVar("Given")
Made = TypeVar("Made")


async def in_turns(act: Callable[[Given], Made], each: Sequence[Given]) -> list[Made]:
    """Return what an act makes of each, in their order; others have their turn in between."""
    made: list[Made] = []
    for start in range(0, len(each), MESSAGES_PER_TURN):
        if start:
            await asyncio.sleep(0)
        made.extend(map(act, each[start : start + MESSAGES_PER_TURN]))
    return made
