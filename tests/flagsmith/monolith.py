"""A real Flagsmith that runs: its API under gunicorn, its task processor where tasks are for it, its PostgreSQL."""

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import requests

from tests.flagsmith.checkout import DATABASE, Checkout
from tests.support import ports
from tests.support.api import AdminAPI, Tenant
from tests.support.postgresql import PostgreSQL
from tests.support.processes import Process, accepts_connections

WAITING = "SELECT 1 FROM task_processor_task WHERE NOT completed AND num_failures < 3 LIMIT 1"

PLAN = "UPDATE organisations_subscription SET plan = %s WHERE organisation_id = %s"

# It imports a lot; on a busy machine a start takes most of a minute.
START_SECONDS = 180

WORKERS = os.environ.get("FLAGSMITH_WORKERS", "1")
"""Processes that serve the API, each with a cache of its own."""


class Tasks(Enum):
    """How it runs its tasks: the values of its TASK_RUN_METHOD."""

    PROCESSOR = "TASK_PROCESSOR"
    THREADS = "SEPARATE_THREAD"
    SYNCHRONOUSLY = "SYNCHRONOUSLY"


class Flagsmith:
    """One installation with a database of its own, which runs while this is entered.

    ``variables`` are settings of it, beside those that any installation has: such as SSE_SERVER_BASE_URL.
    """

    def __init__(self, checkout: Checkout, tasks: Tasks, variables: Mapping[str, str]) -> None:
        self.checkout = checkout
        self.tasks = tasks
        self.port = ports.free_port()
        self._settings = {
            "TASK_RUN_METHOD": tasks.value,
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
            "GUNICORN_WORKERS": WORKERS,
            "GUNICORN_THREADS": "4",
            **variables,
        }
        self._postgresql = PostgreSQL(checkout.cluster)
        self._stack = ExitStack()
        self._folder = Path()
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        with self._stack:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="flagsmith-")))
            self._stack.enter_context(self._postgresql)
            self.start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"Flagsmith's log:\n{self.log[-5000:]}")
        self._stack.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def python(self) -> Path:
        """What runs it."""
        return self.checkout.python

    @property
    def log(self) -> str:
        """What its processes wrote to their logs so far."""
        return "\n".join(process.log for process in self._processes)

    @property
    def settings(self) -> dict[str, str]:
        """Its environment variables."""
        return {**self._settings, "DATABASE_URL": self._postgresql.url(DATABASE)}

    def start(self) -> None:
        """Start it and wait until it answers."""
        api = self.spawn("api", "start", "--bind", f"127.0.0.1:{self.port}", "api")
        if self.tasks is Tasks.PROCESSOR:
            self.processor = self.start_processor()
        api.wait_until(self.is_ready, START_SECONDS)

    def start_processor(self) -> Process:
        """Start a task processor and wait until it runs."""
        port = ports.free_port()
        # To the processor the variable says the same by another name, which its own command sets.
        processor = self.spawn("processor", "start", "--bind", f"127.0.0.1:{port}", "task-processor")
        processor.wait_until(lambda: accepts_connections(port), START_SECONDS)
        return processor

    def spawn(self, name: str, *arguments: str, variables: Mapping[str, str] | None = None) -> Process:
        """Start its command line in one more process, which ends with the others."""
        # Each process shares its figures among its workers in a folder, and leaves it behind.
        figures = self._folder / name
        figures.mkdir(exist_ok=True)
        own = {**self.settings, "PROMETHEUS_MULTIPROC_DIR": str(figures), **(variables or {})}
        command = self.checkout.command(*arguments, python=self.python)
        process = Process(command, environ=self.checkout.environ(**own), cwd=self.checkout.api)
        self._stack.callback(process.kill)
        self._processes.append(process)
        return process

    def tenant(self, api: AdminAPI) -> Tenant:
        """A new organisation that may use real time, and a project that does. Its API refuses that without a plan."""
        made = Tenant.create(api)
        with psycopg.connect(self.settings["DATABASE_URL"]) as connection:
            connection.execute(PLAN, ["enterprise", made.organisation])
        api.patch(f"projects/{made.project}/", enable_realtime_updates=True)
        return made

    def manage(self, *arguments: str) -> str:
        """Run its command line to its end, and return what it prints."""
        return self.checkout.run(*arguments, variables=self.settings, python=self.python)

    def settle(self) -> None:
        """Wait until it has done all its tasks. Of changes in quick succession a processor may take the last one first:
        then the environment has an older one's time in the end, and nothing tells of the newest.
        """
        with psycopg.connect(self.settings["DATABASE_URL"], autocommit=True) as connection:
            self._processes[0].wait_until(lambda: connection.execute(WAITING).fetchone() is None, START_SECONDS)

    def is_ready(self) -> bool:
        """Whether it answers requests."""
        try:
            return requests.get(f"{self.url}/health/liveness/", timeout=5).ok
        except requests.ConnectionError:
            return False
