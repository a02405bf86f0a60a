"""`reservations health`, which a container is asked by."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from reservations.app.cli import app
from reservations.app.health import is_alive
from reservations.app.settings import Settings

NOBODY = 9  # the port of a service that no machine runs


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Give the port of a process that answers `/health/live` with a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/live" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def settings(gateway: int, worker: int) -> Settings:
    """Return settings of processes that listen on these ports."""
    return Settings(
        reservations_http_port=gateway,
        reservations_http_host="0.0.0.0",  # noqa: S104 - as in a container
        reservations_worker_http_port=worker,
    )


@pytest.mark.parametrize(("status", "alive"), [(200, True), (503, False)])
def test_a_gateway_is_as_alive_as_it_says(status: int, alive: bool) -> None:
    with answering(status) as port:
        assert is_alive(settings(port, NOBODY), 2) is alive


@pytest.mark.parametrize(("status", "alive"), [(200, True), (503, False)])
def test_a_worker_is_as_alive_as_it_says(status: int, alive: bool) -> None:
    with answering(status) as port:
        assert is_alive(settings(NOBODY, port), 2) is alive


def test_a_gateway_and_a_worker_must_both_be_alive() -> None:
    with answering(200) as gateway, answering(503) as worker:
        assert not is_alive(settings(gateway, worker), 2)


def test_nobody_there_is_not_alive() -> None:
    assert not is_alive(settings(NOBODY, NOBODY), 2)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_exit_status_of_the_command_tells_it(status: int, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(status) as port:
        monkeypatch.setenv("RESERVATIONS_HTTP_PORT", str(port))
        monkeypatch.setenv("RESERVATIONS_WORKER_HTTP_PORT", str(NOBODY))
        assert CliRunner().invoke(app, ["health"]).exit_code == code
