"""django-eventstream as it is, on daphne or uvicorn."""

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
    """Its port and process."""
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
    with cores.on(cores.SERVER):
        process = Process([sys.executable, "-m", *command, ASGI], environ=variables, cwd=ROOT)
    try:
        process.wait_until(lambda: accepts_connections(port), 30)
        yield port, process.pid
    except Exception as error:
        error.add_note(f"Its log:\n{process.log[-2000:]}")
        raise
    finally:
        # It waits for its streams to end, which they never do.
        process.kill()
