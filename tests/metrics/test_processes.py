"""Two processes behind one port: a scrape tells of both, and neither a killed nor a stopped one makes it lie."""

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

# Twice what a process's clock goes on by at most while a busy machine does not let it run.
WEDGED_SECONDS = 4


def test_workers__one_killed_and_one_stopped__counters_never_fall_and_health_tells(
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
        # It is counted once it is written, by when the other process may answer.
        until(lambda: scrape(server.port)["realtime_events_delivered_total"] >= STREAMS)
        # Whichever of the two answers.
        for _ in range(4):
            told = scrape(server.port)
            assert told["realtime_streams_open"] == STREAMS
            assert told["realtime_events_delivered_total"] == STREAMS

        killed, stopped = workers(server)
        os.kill(killed, signal.SIGKILL)
        # Its parent has seen it end. Soon another one takes its place, which changes nothing here.
        until(lambda: not Path(f"/proc/{killed}").exists())
        after = scrape(server.port)
        assert fallen(told, after) == {}
        assert after["realtime_streams_open"] == STREAMS - len([stream for stream in streams if is_cut(stream)])
        until(lambda: scrape(server.port)["realtime_processes"] == 2)
        restarted = scrape(server.port)
        assert fallen(after, restarted) == {}
        assert restarted["realtime_streams_opened_total"] == STREAMS

        until(lambda: problems(server) == [])
        os.kill(stopped, signal.SIGSTOP)
        until(lambda: problems(server) == ["process"])
        os.kill(stopped, signal.SIGCONT)
        until(lambda: problems(server) == [])
        assert fallen(restarted, scrape(server.port)) == {}
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
    """The processes that serve: of the server's children those that run its program."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def problems(server: ServerProcess) -> list[str]:
    """What is wedged, and of the other process only that it is one."""
    answer = server.get("/health/liveness")
    return [] if answer.status == 200 else [name.partition(" ")[0] for name in answer.json()]


def is_cut(stream: sse.Stream) -> bool:
    """Whether the server's end is gone. Nothing can be read of the stream afterwards."""
    stream.connection.setblocking(False)
    try:
        while stream.connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def fallen(before: Scrape, after: Scrape) -> dict[tuple[str, ...], tuple[float, float]]:
    return {key: (value, after.samples[key]) for key, value in before.counters.items() if after.samples[key] < value}


def test_workers__killed_while_it_is_asked_how_it_is__replaced_at_once(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    """Not only when the parent, which waits for the dead one's answer, loses its patience, 30 s after it asked."""
    with two_workers(sqlite_template, tmp_path) as server:
        server.process.wait_until(lambda: scrape(server.port)["realtime_processes"] == 2)
        first, second = workers(server)
        os.kill(first, signal.SIGSTOP)
        # By then the parent, who asks twice a second, has asked.
        server.process.wait_until(lambda: problems(server) == ["process"])
        killed = time.monotonic()
        os.kill(first, signal.SIGKILL)
        server.process.wait_for_log(f"Child process [{first}] died")
        assert time.monotonic() - killed < 20
        assert second in workers(server)
