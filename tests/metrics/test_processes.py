"""Two processes behind one port: each scrape covers both, also after one was killed or stopped."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.metrics.scraped import TOKEN, Scrape, scrape
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.server import MigratedSQLite, ServerProcess

pytestmark = pytest.mark.slow

STREAMS = 12

# Twice ``MAX_TICK_SECONDS``, so that a process is not wedged by a single delay on a busy machine.
WEDGED_SECONDS = 4


def test_workers__one_killed_and_one_stopped__counters_never_decrease_and_liveness_reports_it(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    with two_workers(sqlite_template, tmp_path) as server:
        until = server.process.wait_until
        until(lambda: scrape(server.port)["realtime_processes"] == 2)
        tenant = Tenant.create(AdminAPI.registered(server.url))
        feature = tenant.add_feature("banner")["id"]
        streams = [sse.connect(server.port, tenant.environment.key) for _ in range(STREAMS)]
        before = [stream.next_event().updated_at for stream in streams]
        tenant.change(feature, enabled=True)
        for stream, was in zip(streams, before, strict=True):
            stream.event_after(was)
        # A delivery is counted after its write, so a scrape may be earlier.
        until(lambda: scrape(server.port)["realtime_events_delivered_total"] >= STREAMS)
        # Several times, because either process may answer.
        for _ in range(4):
            scraped = scrape(server.port)
            assert scraped["realtime_streams_open"] == STREAMS
            assert scraped["realtime_events_delivered_total"] == STREAMS

        killed, stopped = workers(server)
        os.kill(killed, signal.SIGKILL)
        # The parent has noticed its end, and will start another process.
        until(lambda: not Path(f"/proc/{killed}").exists())
        after = scrape(server.port)
        assert decreased(scraped, after) == {}
        assert after["realtime_streams_open"] == STREAMS - len([stream for stream in streams if is_cut(stream)])
        until(lambda: scrape(server.port)["realtime_processes"] == 2)
        restarted = scrape(server.port)
        assert decreased(after, restarted) == {}
        assert restarted["realtime_streams_opened_total"] == STREAMS

        until(lambda: problems(server) == [])
        os.kill(stopped, signal.SIGSTOP)
        until(lambda: problems(server) == ["process"])
        os.kill(stopped, signal.SIGCONT)
        until(lambda: problems(server) == [])
        assert decreased(restarted, scrape(server.port)) == {}
        for stream in streams:
            stream.close()
        until(lambda: scrape(server.port)["realtime_streams_open"] == 0)
    assert list(tmp_path.glob("realtime-figures-*")) == []
    drains = [json.loads(line) for line in server.log.splitlines() if "drain_finished" in line]
    assert [drain["left"] for drain in drains] == [0, 0]


def two_workers(template: MigratedSQLite, folder: Path) -> ServerProcess:
    variables = {
        **template.copy(folder),
        "REALTIME_METRICS_TOKEN": TOKEN,
        "REALTIME_WEDGED_SECONDS": str(WEDGED_SECONDS),
        "TMPDIR": str(folder),
    }
    return ServerProcess(variables, arguments=("--workers=2",))


def workers(server: ServerProcess) -> list[int]:
    """The PIDs of the worker processes: the children of the server that run its program."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def problems(server: ServerProcess) -> list[str]:
    """The names of wedged parts, with other processes as "process"."""
    answer = server.get("/health/liveness")
    return [] if answer.status == 200 else [name.partition(" ")[0] for name in answer.json()]


def is_cut(stream: sse.Stream) -> bool:
    """Return True if the server has closed the connection. It discards what can be read."""
    stream.connection.setblocking(False)
    try:
        while stream.connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def decreased(before: Scrape, after: Scrape) -> dict[tuple[str, ...], tuple[float, float]]:
    return {key: (value, after.samples[key]) for key, value in before.counters.items() if after.samples[key] < value}


def test_workers__killed_during_the_parents_ping__replaced_at_once(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    """The parent waits up to 30 s for the answer to its ping, and must notice the death earlier."""
    with two_workers(sqlite_template, tmp_path) as server:
        server.process.wait_until(lambda: scrape(server.port)["realtime_processes"] == 2)
        first, second = workers(server)
        os.kill(first, signal.SIGSTOP)
        # By then the parent has sent a ping, as it does twice a second.
        server.process.wait_until(lambda: problems(server) == ["process"])
        killed = time.monotonic()
        os.kill(first, signal.SIGKILL)
        server.process.wait_for_log(f"Child process [{first}] died")
        assert time.monotonic() - killed < 20
        assert second in workers(server)
