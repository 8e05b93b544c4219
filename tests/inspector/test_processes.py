"""The inspector of a server with two processes, read by a third process."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import programs, sse
from tests.support.api import AdminAPI, Tenant
from tests.support.server import ServerProcess, environ

pytestmark = pytest.mark.slow

STREAMS = 8

Shown = dict[str, Any]
"""A line of ``inspect_environment --json``."""


@contextmanager
def inspector(key: str, variables: Mapping[str, str]) -> Iterator[Callable[[Callable[[Shown], object]], Shown]]:
    """Yields a function that waits until a condition is true for the output, and returns the output."""
    command = [sys.executable, "-m", "django", "inspect_environment", key, "--json", "--every=0.2"]
    # Settings with only this app, which start quickly.
    own = {
        "DJANGO_SETTINGS_MODULE": "realtime.detached.settings",
        "SSE_AUTHENTICATION_TOKEN": "not-used",
        "DATABASE_URL": variables.get("DATABASE_URL", f"sqlite:///{variables['VAR_DIR']}/db.sqlite3"),
        "REALTIME_INSPECTION": "on",
    }
    process = subprocess.Popen(
        command,
        cwd=programs.ROOT,
        env=environ(**own),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = process.stdout

    def until(holds: Callable[[Shown], object]) -> Shown:
        for line in lines:
            shown: Shown = json.loads(line)
            if holds(shown):
                return shown
        raise AssertionError("inspect_environment has ended")

    try:
        yield until
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def expire_heartbeat(pid: int, variables: Mapping[str, str]) -> None:
    """Set the process's last heartbeat back by a minute."""
    if url := variables.get("DATABASE_URL"):
        with psycopg.connect(url) as server:
            server.execute(
                "UPDATE realtime_inspectedprocess SET seen_at = seen_at - interval '1 minute' WHERE pid = %s", [pid]
            )
        return
    file = sqlite3.connect(Path(variables["VAR_DIR"]) / "db.sqlite3", timeout=60)
    with file:
        file.execute(
            "UPDATE realtime_inspectedprocess SET seen_at = datetime(seen_at, '-1 minute') WHERE pid = ?", [pid]
        )
    file.close()


def is_complete(event: Shown) -> bool:
    return event["written"] == STREAMS and event["committed_at"] is not None


def written_by_process(event: Shown) -> dict[int, int]:
    """The number of deliveries by process."""
    return {share["process"]: share["written"] for share in event["processes"] if share["written"]}


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.database)])
def test_workers__streams_and_events_and_a_killed_process__all_are_shown(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    variables = request.getfixturevalue(f"{database}_template").copy(tmp_path)
    with ServerProcess(variables, arguments=("--workers=2",)) as server:
        tenant = Tenant.create(AdminAPI.registered(server.url))
        feature = tenant.add_feature("banner")["id"]
        key = tenant.environment.key
        with inspector(key, variables) as until:
            both = until(lambda shown: len(shown["processes"]) == 2)
            assert both["streams"] == 0
            streams = [sse.connect(server.port, key) for _ in range(STREAMS)]
            before = [stream.next_event().updated_at for stream in streams]
            opened = until(lambda shown: shown["streams"] == STREAMS)
            by_process = {process["id"]: process["streams"] for process in opened["processes"]}
            assert sum(by_process.values()) == STREAMS

            tenant.change(feature, enabled=True)
            received = {stream.event_after(was).updated_at for stream, was in zip(streams, before, strict=True)}
            # Each process writes its own rows, and the process with the commit may have no stream.
            event = until(lambda shown: any(map(is_complete, shown["events"][:1])))["events"][0]
            assert [event["version"]] == [f"{version:.6f}" for version in received]
            assert 0 <= event["p50_ms"] <= event["p99_ms"]
            assert written_by_process(event) == {process: streams for process, streams in by_process.items() if streams}
            # With the memory bus only the process of the change delivers the event directly. The other process, if it
            # has streams, finds it by the reconcile. The kernel chooses the processes of requests and streams.
            if database == "sqlite" and len(written_by_process(event)) == 2:
                assert event["healed"]

            killed = both["processes"][0]
            os.kill(killed["pid"], signal.SIGKILL)
            expire_heartbeat(killed["pid"], variables)
            left = until(lambda shown: killed["id"] not in [process["id"] for process in shown["processes"]])
            assert left["streams"] <= STREAMS - by_process[killed["id"]]
            # The events of the killed process are still shown.
            still_shown = next(each for each in left["events"] if each["version"] == event["version"])
            assert written_by_process(still_shown) == written_by_process(event)
            for stream in streams:
                stream.close()
            server.stop()
            until(lambda shown: shown["processes"] == [])
