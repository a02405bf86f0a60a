"""File descriptors: as many as a gateway's connections need."""

import resource

import structlog

#: Listening, logs, the broker's connections, and callers that are refused.
SPARE = 200


def provide(connections: int) -> None:
    """Let this process have so many connections open, or say to how few the system limits it."""
    needed = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        structlog.get_logger().warning("few_descriptors", needed=needed, allowed=allowed)
