"""Settings of what protects a gateway from too much, and from too slow."""

from pydantic import PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from reservations.http.connections import ConnectionLimits


class LimitSettings(BaseSettings):
    """What connections and callers may take of a gateway; each holds for one gateway."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    max_connections: PositiveInt = 1000
    """Connections that a gateway serves at once; more are answered 503."""
    request_head_limit_s: PositiveFloat = 10
    """Longest time a request's head may take to come; later the connection is closed."""
    request_body_limit_s: PositiveFloat = 10
    """Longest time a request's body may take to come; later the answer is 408."""
    response_limit_s: PositiveFloat = 30
    """Longest time an answer may wait to be taken by its caller; later the connection is closed."""
    keep_alive_s: PositiveFloat = 30
    """How long a connection may be idle between requests."""
    rate_limit_per_s: PositiveFloat = 50
    """Requests per second that a caller may make in the long run; more are answered 429."""
    rate_burst: PositiveInt = 100
    """Requests that a caller may make at once."""
    wrong_codes_allowed: PositiveInt = 5
    """Wrong confirmation codes that a caller may try, and wrong tries that a code takes, in one window."""
    wrong_code_window_s: PositiveFloat = 900
    """For how long a wrong confirmation code is remembered."""
    max_command_backlog: PositiveInt = 10_000
    """Commands that may wait on the command topic; with more, writes are answered 503."""
    backlog_check_s: PositiveFloat = 2
    """How often a gateway looks how many commands wait."""

    def connection_limits(self) -> ConnectionLimits:
        """Return the limits of the gateway's connections."""
        return ConnectionLimits(
            self.max_connections,
            self.request_head_limit_s,
            self.response_limit_s,
            self.keep_alive_s,
        )
