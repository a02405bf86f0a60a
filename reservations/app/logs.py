"""Logging: one JSON object a line, the same for this service and for the libraries it uses."""

import logging
import logging.config
import sys
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


def _naming(process: str) -> structlog.typing.Processor:
    """Return what adds the process's name; a context variable would be unknown to the libraries' threads."""
    return lambda _, __, event: {**event, "process": process}


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
