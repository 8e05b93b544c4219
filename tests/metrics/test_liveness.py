"""``/health/liveness`` is 503 if and only if a part makes no progress, and names the part."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.metrics.scraped import TOKEN, scrape
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.asgi import Client
from tests.support.server import Answer, MigratedSQLite, ServerProcess

# Five times ``MAX_TICK_SECONDS``. On a very busy machine the loop may run several times before another thread runs, and
# that thread must not look wedged.
WEDGED_SECONDS = 10


@pytest.fixture(scope="module")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A live server. Each test must leave it live."""
    variables = {
        **sqlite_template.copy(tmp_path_factory.mktemp("liveness")),
        "DJANGO_SETTINGS_MODULE": "tests.metrics.wedged",
        "REALTIME_METRICS_TOKEN": TOKEN,
        "REALTIME_WEDGED_SECONDS": str(WEDGED_SECONDS),
    }
    with ServerProcess(variables) as server:
        yield server


def health(server: ServerProcess) -> Answer:
    return server.get("/health/liveness")


def is_red(server: ServerProcess, *parts: str) -> bool:
    """Return True if exactly these parts are wedged."""
    answer = health(server)
    return answer.status == 503 and set(answer.json()) == set(parts)


def do(server: ServerProcess, action: str) -> None:
    assert server.get(f"/{action}").status == 200


async def test_liveness__host_not_in_allowed_hosts__200(settings: Settings) -> None:
    """Orchestrators send an IP address in ``Host``."""
    settings.ALLOWED_HOSTS = ["flags.example.com"]
    answers = {}
    for host in ("flags.example.com", "10.0.0.1"):
        client = Client("/health/liveness", {"Host": host})
        await client.run()
        answers[host] = (client.sent[0]["status"], dict(client.sent[0]["headers"]), client.chunks)
    for status, headers, chunks in answers.values():
        assert (status, chunks) == (200, [b'{"status": "ok"}'])
        assert headers[b"content-length"] == b"16"
        assert headers[b"cache-control"] == b"no-store"
        assert headers[b"x-content-type-options"] == b"nosniff"
    assert answers["flags.example.com"][1][b"x-frame-options"] == b"DENY"


@pytest.mark.parametrize("method, status, body", [("HEAD", 200, b""), ("POST", 200, b'{"status": "ok"}')])
@pytest.mark.parametrize("path", ["/health/liveness", "/health/liveness/"])
async def test_liveness__head_and_post__answered(path: str, method: str, status: int, body: bytes) -> None:
    client = Client(path, {"Host": "testserver"})
    client.scope["method"] = method
    await client.run()
    assert (client.sent[0]["status"], b"".join(client.chunks)) == (status, body)


@pytest.mark.slow
def test_liveness__parts_without_progress__503_with_their_names(server: ServerProcess) -> None:
    until = server.process.wait_until
    # With an open stream the reconcile reads.
    tenant = Tenant.create(AdminAPI.registered(server.url))
    with sse.connect(server.port, tenant.environment.key) as stream:
        stream.next_event()
        assert (health(server).status, health(server).json()) == (200, {"status": "ok"})

        do(server, "hang_the_reader")
        until(lambda: health(server).status == 503)
        # The reconcile waits for the reader, and is wedged a little later.
        until(lambda: is_red(server, "realtime-reader", "reconciler"))
        until(lambda: scrape(server.port)["realtime_wedged"] == 2)
        assert "no progress for " in health(server).json()["realtime-reader"]
        do(server, "release_the_reader")
        until(lambda: health(server).status == 200)

        do(server, "kill_the_listener")
        until(lambda: is_red(server, "listener"))
        do(server, "kill_the_reconciler")
        until(lambda: is_red(server, "listener", "reconciler"))
        do(server, "revive_the_listener")
        until(lambda: is_red(server, "reconciler"))
        do(server, "revive_the_reconciler")
        until(lambda: health(server).status == 200)
    logged = [json.loads(line)["part"] for line in server.log.splitlines() if '"wedged"' in line]
    # Each is logged once. The first two may have been detected in the same tick.
    assert [*sorted(logged[:2]), *logged[2:]] == ["realtime-reader", "reconciler", "listener", "reconciler"]


@pytest.mark.slow
def test_liveness__database_fails_then_process_stopped_then_loop_blocked__nothing_is_wedged(
    server: ServerProcess,
) -> None:
    until = server.process.wait_until
    wedged = server.log.count('"wedged"')
    tenant = Tenant.create(AdminAPI.registered(server.url))
    with sse.connect(server.port, tenant.environment.key) as stream:
        stream.next_event()
        do(server, "lose_the_database")
        until(lambda: scrape(server.port)["realtime_reconciles_total", "failed"] > 1)
        answers, lost_at = [], time.monotonic()

        def has_failed_for_long() -> bool:
            answers.append(health(server).status)
            return time.monotonic() > lost_at + WEDGED_SECONDS + 1

        until(has_failed_for_long)
        assert set(answers) == {200}
        do(server, "find_the_database")

    with ThreadPoolExecutor(1) as thread:
        server.process.send(signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
            asked = thread.submit(health, server)
            # Longer than ``WEDGED_SECONDS``. There is no event to wait for, because the process is stopped.
            with pytest.raises(TimeoutError):
                asked.result(WEDGED_SECONDS + 1)
        finally:
            server.process.send(signal.SIGCONT)
        assert asked.result().status == 200

        blocked = thread.submit(do, server, "block_the_loop")
        line = json.loads(server.process.wait_for_log("event_loop_blocked"))
        assert "block_the_loop" in line["stack"]
        assert line["seconds"] == 3
        assert not blocked.done()
        Path(server.variables["VAR_DIR"], "resume").touch()
        blocked.result()
    assert health(server).status == 200
    server.process.wait_for_log("event_loop_resumed")
    assert server.log.count("event_loop_blocked") == 1
    assert scrape(server.port)["realtime_event_loop_blocked_total"] == 1
    assert server.log.count('"wedged"') == wedged
