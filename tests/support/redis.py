"""A private Redis or Valkey on a free port, without persistence, and a cluster of three."""

import shutil
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis as Client

from tests.support import ports, programs
from tests.support.processes import Process, accepts_connections

PROGRAMS = ("redis-server", "valkey-server")

SLOTS = 16_384


class Redis:
    """A context manager: a Redis that may be stopped and started. ``options`` are those of its configuration."""

    def __init__(self, *, program: str = "redis-server", is_tls: bool = False, **options: str) -> None:
        self._program = str(programs.require(program))
        self._is_tls = is_tls
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._process: Process | None = None
        self.port = ports.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def process(self) -> Process:
        assert self._process is not None, "Redis was not started"
        return self._process

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = {
            "bind": "127.0.0.1",
            "port": "0" if self._is_tls else str(self.port),
            "tls-port": str(self.port) if self._is_tls else "0",
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
            **{name.replace("_", "-"): value for name, value in self._options.items()},
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = Process([self._program, *arguments])
        self._process.wait_until(lambda: accepts_connections(self.port))

    def stop(self) -> None:
        """Stop it immediately, with all connections."""
        if self._process:
            self._process.kill()
            self._process = None

    def configure(self, **options: str) -> None:
        """Change its configuration while it runs."""
        with Client.from_url(self.url) as client:
            for name, value in options.items():
                client.config_set(name, value)


SERVICE = "flagsmith"
"""The name by which a Sentinel knows a Redis."""


class Sentinel(Redis):
    """A context manager: a Sentinel of this Redis."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._file = self._folder / "sentinel.conf"
        self._file.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self._folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {redis.port} 1\n"
        )

    def start(self) -> None:
        self._process = Process([self._program, str(self._file), "--sentinel"])
        self._process.wait_until(lambda: accepts_connections(self.port))


class RedisCluster:
    """A context manager: three nodes of a Redis cluster, each with a third of the slots."""

    def __init__(self) -> None:
        # The default is the port + 10,000, which may be an ephemeral port in use.
        self._bus_ports = [ports.free_port() for _ in range(3)]
        self.nodes = [Redis(cluster_enabled="yes", cluster_port=str(port)) for port in self._bus_ports]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _join(self) -> None:
        clients = [Client.from_url(node.url) for node in self.nodes]
        first = 0
        for number, client in enumerate(clients, start=1):
            last = SLOTS * number // 3
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            first = last
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self._bus_ports[0])
        for node, client in zip(self.nodes, clients, strict=True):
            node.process.wait_until(partial(_is_ready, client))
            client.close()


def _is_ready(client: Client) -> bool:
    """Return True if the node knows all slots, and all other nodes."""
    info = client.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3")
