"""Logging: one JSON object a line, the same for this service and for the libraries it uses."""

import logging
import logging.config
import sys
from collections.abc import Callable
from time import monotonic
from typing import TextIO

import orjson
import structlog

SHARED = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _trace(exc_info: structlog.typing.ExcInfo) -> list[dict[str, object]]:
    """Return where an exception came from. Its text is left out, as are variables: they may hold personal data."""
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
    return [{"type": stack["exc_type"], "frames": stack["frames"]} for stack in transform(exc_info)]


TRACEBACKS = structlog.processors.ExceptionRenderer(_trace)
#: They tell of every connection and rebalance step at info.
TALKATIVE = ("aiokafka", "faust", "mode", "aiohttp.access", "asyncio")
#: What a library says again sooner is counted only.
REPEATED_AFTER_S = 10.0
MOST_REMEMBERED = 1_000


def _naming(process: str) -> structlog.typing.Processor:
    """Return what adds the process's name; a context variable would be unknown to the libraries' threads."""
    return lambda _, __, event: {**event, "process": process}


class _Sparing(logging.Filter):
    """Lets a library say the same again only after a while: a server that is away is tried many times a second."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to let it say this; how often it said the same meanwhile is added."""
        what, now = (record.name, str(record.msg)), self._clock()
        said_at, left_out = self._said.get(what, (-REPEATED_AFTER_S, 0))
        if now - said_at < REPEATED_AFTER_S:
            self._said[what] = (said_at, left_out + 1)
            return False
        if len(self._said) >= MOST_REMEMBERED:
            self._said.clear()
        self._said[what] = (now, 0)
        if left_out:
            record.msg = f"{record.msg} ({left_out} times more since it was last said)"
        return True


def configure(process: str, level: str, stream: TextIO = sys.stdout) -> None:
    """Log from the given level on, each line with the name of the process."""
    minimum = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            *SHARED,
            _naming(process),
            TRACEBACKS,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.BytesLoggerFactory(stream.buffer),
        cache_logger_on_first_use=True,
    )
    _configure_libraries(process, minimum, stream)


def _configure_libraries(process: str, minimum: int, stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.addFilter(_Sparing())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*SHARED, _naming(process), structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                TRACEBACKS,
                structlog.processors.JSONRenderer(serializer=lambda event, **how: _dumps(event, **how).decode()),
            ],
        )
    )
    logging.basicConfig(level=minimum, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(minimum, logging.WARNING))


def _dumps(event: object, **_: object) -> bytes:
    return orjson.dumps(event, default=str)
