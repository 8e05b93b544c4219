"""Two processes of a real server, seen from a third one."""

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
"""What ``inspect_environment --json`` says."""


@contextmanager
def inspector(key: str, variables: Mapping[str, str]) -> Iterator[Callable[[Callable[[Shown], object]], Shown]]:
    """Whoever is called with a condition waits until it holds of what is shown, and returns that."""
    command = [sys.executable, "-m", "django", "inspect_environment", key, "--json", "--every=0.2"]
    # Nothing but this app: it starts in a moment.
    own = {
        "DJANGO_SETTINGS_MODULE": "realtime.detached.settings",
        "SSE_AUTHENTICATION_TOKEN": "none is asked for",
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
        raise AssertionError("the inspector has ended")

    try:
        yield until
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def not_seen_for_a_minute(pid: int, variables: Mapping[str, str]) -> None:
    """As if so much time had passed. A process that lives says that it does within ten seconds."""
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
    return event["written"] == STREAMS and event["measured_from"] == "commit"


def written_by_process(event: Shown) -> dict[int, int]:
    """Streams that it was written to, by process."""
    return {share["process"]: share["written"] for share in event["processes"] if share["written"]}


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.database)])
def test_workers__streams_events_and_a_killed_one__told_of_all(
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
            heard = {stream.event_after(was).updated_at for stream, was in zip(streams, before, strict=True)}
            # Each process writes down its own part, in its own time: who committed it may have no stream to tell.
            event = until(lambda shown: any(map(is_complete, shown["events"][:1])))["events"][0]
            assert [event["version"]] == [f"{version:.6f}" for version in heard]
            assert 0 <= event["p50_ms"] <= event["p99_ms"]
            assert written_by_process(event) == {process: streams for process, streams in by_process.items() if streams}
            # Without a bus the process that made the change tells its own streams; the other one, if it has any, finds
            # it by itself. Which of the two answers, and which has the streams, is the kernel's choice.
            if database == "sqlite" and len(written_by_process(event)) == 2:
                assert event["healed"]

            killed = both["processes"][0]
            os.kill(killed["pid"], signal.SIGKILL)
            not_seen_for_a_minute(killed["pid"], variables)
            left = until(lambda shown: killed["id"] not in [process["id"] for process in shown["processes"]])
            assert left["streams"] <= STREAMS - by_process[killed["id"]]
            # What it did is known all the same.
            told = next(each for each in left["events"] if each["version"] == event["version"])
            assert written_by_process(told) == written_by_process(event)
            for stream in streams:
                stream.close()
            server.stop()
            until(lambda shown: shown["processes"] == [])
