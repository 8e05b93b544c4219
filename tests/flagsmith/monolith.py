"""A running Flagsmith: its API under gunicorn, its PostgreSQL, and its task processor if it uses one."""

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

# On a busy machine a start takes most of a minute.
START_SECONDS = 180


class Tasks(Enum):
    """The values of its setting TASK_RUN_METHOD."""

    PROCESSOR = "TASK_PROCESSOR"
    THREADS = "SEPARATE_THREAD"
    SYNCHRONOUSLY = "SYNCHRONOUSLY"


class Flagsmith:
    """A context manager: an installation with its own database.

    ``variables`` are further settings, for example SSE_SERVER_BASE_URL.
    """

    def __init__(self, checkout: Checkout, tasks: Tasks, variables: Mapping[str, str]) -> None:
        self.checkout = checkout
        self.tasks = tasks
        self.port = ports.free_port()
        self._settings = {
            "TASK_RUN_METHOD": tasks.value,
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
            "GUNICORN_WORKERS": "1",
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
        """The Python that runs it."""
        return self.checkout.python

    @property
    def log(self) -> str:
        """The logs of its processes so far."""
        return "\n".join(process.log for process in self._processes)

    @property
    def api_pid(self) -> int:
        """The PID of its API's process group."""
        return self._processes[0].pid

    @property
    def settings(self) -> dict[str, str]:
        """Its environment variables."""
        return {**self._settings, "DATABASE_URL": self._postgresql.url(DATABASE)}

    def start(self) -> None:
        """Start it, and wait until it serves."""
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
        """Run a command line in a further process, which ends with the others."""
        # The workers of each process share metrics in a folder, which Flagsmith does not delete.
        figures = self._folder / name
        figures.mkdir(exist_ok=True)
        own = {**self.settings, "PROMETHEUS_MULTIPROC_DIR": str(figures), **(variables or {})}
        command = self.checkout.command(*arguments, python=self.python)
        process = Process(command, environ=self.checkout.environ(**own), cwd=self.checkout.api)
        self._stack.callback(process.kill)
        self._processes.append(process)
        return process

    def tenant(self, api: AdminAPI) -> Tenant:
        """A new organisation and a project with real time, which Flagsmith's API refuses without a plan."""
        made = Tenant.create(api)
        with psycopg.connect(self.settings["DATABASE_URL"]) as connection:
            connection.execute(PLAN, ["enterprise", made.organisation])
        api.patch(f"projects/{made.project}/", enable_realtime_updates=True)
        return made

    def manage(self, *arguments: str) -> str:
        """Run a command line, and return its output."""
        return self.checkout.run(*arguments, variables=self.settings, python=self.python)

    def settle(self) -> None:
        """Wait until all tasks are done.

        A processor may run the tasks of changes in quick succession in another order. Then the environment's time is
        that of an older change, and the newest change has no event.
        """
        with psycopg.connect(self.settings["DATABASE_URL"], autocommit=True) as connection:
            self._processes[0].wait_until(lambda: connection.execute(WAITING).fetchone() is None, START_SECONDS)

    def analyze(self) -> None:
        """Update the statistics of the tables, as PostgreSQL's autovacuum does within a minute.

        Without them PostgreSQL compiles some of Flagsmith's queries, which takes up to two seconds each.
        """
        with psycopg.connect(self.settings["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("ANALYZE")

    def is_ready(self) -> bool:
        """Whether it serves requests."""
        try:
            return requests.get(f"{self.url}/health/liveness/", timeout=5).ok
        except requests.ConnectionError:
            return False
