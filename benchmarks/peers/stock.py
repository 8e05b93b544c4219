"""Unmodified django-eventstream, on daphne or uvicorn."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from benchmarks import cores
from tests.support import ports
from tests.support.processes import Process, accepts_connections
from tests.support.programs import ROOT
from tests.support.server import environ

PUBLISH = "/publish/{channel}"
STREAM = "/stream/{channel}"

ASGI = "benchmarks.peers.stock_site:application"


@contextmanager
def stock(server: Literal["daphne", "uvicorn"]) -> Iterator[tuple[int, int]]:
    """Run it, and yield its port and process id."""
    cores.raise_file_limit()
    port = ports.free_port()
    command = {
        "daphne": ["daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"],
        "uvicorn": [
            "uvicorn",
            f"--port={port}",
            "--loop=uvloop",
            "--http=httptools",
            "--backlog=4096",
            "--no-access-log",
        ],
    }[server]
    variables = environ(DJANGO_SETTINGS_MODULE="benchmarks.peers.stock_settings")
    with cores.pinned_to(cores.SERVER):
        process = Process([sys.executable, "-m", *command, ASGI], environ=variables, cwd=ROOT)
    try:
        process.wait_until(lambda: accepts_connections(port), 30)
        yield port, process.pid
    except Exception as error:
        error.add_note(f"Its log:\n{process.log[-2000:]}")
        raise
    finally:
        # Not SIGTERM: it would wait for its streams, which do not end.
        process.kill()
