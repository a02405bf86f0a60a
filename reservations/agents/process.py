"""The life of a worker process: start, wait for a reason to end, stop within a deadline.

Faust's own worker restarts what failed and waits without limit when it stops. This entry does neither.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import faust

Hook = Callable[[], Awaitable[None]]

log = logging.getLogger(__name__)


async def run(
    app: faust.App,
    fatal: "asyncio.Future[None]",
    *,
    stopping: asyncio.Event,
    stop_deadline_s: float,
    on_started: Hook | None = None,
    on_stopping: Hook | None = None,
) -> int:
    """Run the app until SIGTERM, SIGINT, `fatal` or a crash; return the exit code: 0 only after a clean stop.

    `stopping` is set as soon as the end is decided: work that can't succeed now should give up when it sees it. What
    still runs at the deadline is abandoned, unacknowledged; so end the process with `os._exit(code)`, for threads and
    tasks may be left.
    """
    with _signals_setting(stopping):
        await _until_the_end(app, fatal, stopping, on_started)
        stopping.set()
        if on_stopping:
            await on_stopping()
        in_time = await _stop(app, stop_deadline_s)
    return 0 if in_time and not _failed(app, fatal) else 1


@contextmanager
def _signals_setting(stopping: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _until_the_end(
    app: faust.App, fatal: "asyncio.Future[None]", stopping: asyncio.Event, on_started: Hook | None
) -> None:
    """Start the app, and return when there is a reason to stop it."""
    starting = asyncio.ensure_future(_start(app, fatal, on_started))
    ends = [asyncio.ensure_future(event.wait()) for event in (stopping, app._crashed)]
    await asyncio.wait([fatal, *ends], return_when=asyncio.FIRST_COMPLETED)
    for task in (starting, *ends):
        task.cancel()


async def _start(app: faust.App, fatal: "asyncio.Future[None]", on_started: Hook | None) -> None:
    try:
        await app.start()
        if on_started:
            await on_started()
    except Exception as error:
        if not fatal.done():
            fatal.set_exception(error)


async def _stop(app: faust.App, deadline_s: float) -> bool:
    """Stop the app and return whether it ended well and in time; it swallows cancellation, so it may be left to run."""
    stop = asyncio.ensure_future(app.stop())
    done, _ = await asyncio.wait({stop}, timeout=deadline_s)
    if not done:
        log.error("not stopped after %s s: what is in work is abandoned, unacknowledged", deadline_s)
        return False
    error = _error_of(stop)
    if error is not None:
        log.error("stopping failed", exc_info=error)
    return error is None


def _error_of(ended: "asyncio.Future[None]") -> BaseException | None:
    """Return why it failed; after a crash `app.stop()` ends cancelled, which must not cancel its caller."""
    return asyncio.CancelledError() if ended.cancelled() else ended.exception()


def _failed(app: faust.App, fatal: "asyncio.Future[None]") -> bool:
    """Log why the process ends, if not because it was told to."""
    error = _error_of(fatal) if fatal.done() else app.crash_reason if app._crashed.is_set() else None
    if error is not None:
        log.critical("the worker failed", exc_info=error)
    return error is not None
