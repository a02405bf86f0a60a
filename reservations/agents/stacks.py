"""Where every thread and every task of this process stands: files, lines and functions, no values."""

import asyncio
import faulthandler
import gc
import sys
import traceback
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType
from typing import Any


def dump_stacks() -> None:
    """Write the stacks of all threads and of the running loop's tasks to standard error."""
    sys.stderr.flush()
    faulthandler.dump_traceback(all_threads=True)
    for task in asyncio.all_tasks():
        frames = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in _frames(task.get_coro()))
        sys.stderr.write(f"\nTask {task.get_name()} (outermost call first):\n{''.join(frames.format())}")
    sys.stderr.flush()


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine and of what it waits for; `Task.get_stack` has the outermost one only."""
    while awaited is not None:
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if isinstance(frame, FrameType):
            yield frame
            awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")
        else:
            awaited = _wrapped(awaited)


def _first(thing: Any, *names: str) -> Any:
    return next((found for found in (getattr(thing, name, None) for name in names) if found is not None), None)


def _wrapped(awaited: Any) -> Any:
    """Return the coroutine in what `__await__` of a coroutine or `__anext__` of a generator returned."""
    return next(
        (each for each in gc.get_referents(awaited) if isinstance(each, CoroutineType | AsyncGeneratorType)), None
    )
