"""A stream on a machine with nginx and relays: ``python -m benchmarks.behind_nginx``.

The memory of a stream in the relay, in nginx and in the kernel, and the CPU time of relay and nginx for a connect, for
keep-alives, for an event, and for a refetch after it; over plain HTTP, and with TLS. One environment. Two relays, or
one where clients refetch, because they check that an answer is not older than the event.

The kernel's memory is the growth of its slabs and of page tables: sockets, open files, epoll items. Of the four sockets
of a stream here, three are on the machine of nginx and the relay; the fourth is the client's.
"""

import argparse
import gc
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

from benchmarks import cores, load, proc, report
from benchmarks.client_process import REQUEST
from benchmarks.refetching import RefetchingClientProcess
from benchmarks.relay_day import MAX_STREAMS_PER_CLIENT, Service, service
from benchmarks.report import Figures, Report
from benchmarks.streams import StreamClients
from tests.support.nginx import NAME

WARM_UP = 100
FEATURES = 50

SOCKETS, SERVER_SOCKETS = 4, 3
"""Of a stream here, and those of nginx and the relay."""

# On a busy machine: CPU time and memory are valid there too.
TIMEOUT = 600.0

# Longer than REALTIME_REPEAT_SECONDS.
PAUSE_SECONDS = 3.0

# Changes are made until one has been made.
CHANGES_PER_SECOND = 0.001

KERNEL = ("Slab", "PageTables")


class Work(NamedTuple):
    """CPU time, and the time at which it was read, in seconds."""

    at: float
    relays: float
    nginx: float


class Machine:
    """The servers' processes."""

    def __init__(self, served: Service) -> None:
        pids = served.pids
        self.nginx = [pids["nginx"]]
        self.relays = [pid for name, pid in pids.items() if name.startswith("relay")]
        before = self.work()
        time.sleep(PAUSE_SECONDS)
        idle = self.work()
        self._idle_part = (idle.relays - before.relays) / (idle.at - before.at)
        """The part of a core that the relays take without streams."""

    def work(self) -> Work:
        return Work(time.perf_counter(), proc.cpu_seconds(*self.relays), proc.cpu_seconds(*self.nginx))

    def add(self, figures: Figures, what: str, since: Work, times: float) -> None:
        """Add the CPU time of each of so many pieces of work, without what the relays do anyway."""
        now = self.work()
        relays = now.relays - since.relays - self._idle_part * (now.at - since.at)
        figures[f"relay_{what}_us"] = relays * 1e6 / times
        figures[f"nginx_{what}_us"] = (now.nginx - since.nginx) * 1e6 / times

    def memory(self) -> tuple[int, int, int]:
        """The settled memory of the relays, of nginx and of the kernel, in bytes."""
        relays, nginx = proc.settled(*self.relays).pss, proc.settled(*self.nginx).pss
        return relays, nginx, proc.kernel(*KERNEL)


def measure_plain(served: Service, machine: Machine, streams: int, idle_seconds: float) -> Figures:
    """Streams without TLS: memory, connects, keep-alives, and an event."""
    clients = partial(StreamClients, served.targets(), processes=-(-streams // MAX_STREAMS_PER_CLIENT), on=cores.CORES)
    with clients(number=WARM_UP) as few:
        few.open(TIMEOUT)
    before = machine.memory()
    with clients(number=streams) as many:
        work = machine.work()
        version = many.open(TIMEOUT).version
        figures: Figures = {}
        machine.add(figures, "connect", work, streams)
        after = machine.memory()
        kib = [(now - then) / 1024 / streams for now, then in zip(after, before, strict=True)]
        work = machine.work()
        time.sleep(idle_seconds)
        machine.add(figures, "idle_second", work, streams * idle_seconds)
        many.expect(after=version)
        work = machine.work()
        change(served)
        many.arrived(TIMEOUT)
        machine.add(figures, "event", work, streams)
    return {
        "relay_process_mib": before[0] / len(machine.relays) / 2**20,
        "relay_kib": kib[0],
        "nginx_kib": kib[1],
        "kernel_kib": kib[2] * SERVER_SOCKETS / SOCKETS,
        **figures,
    }


def measure_refetches(served: Service, machine: Machine, streams: int, window: int) -> Figures:
    """An event, and a refetch of each client on a new connection, without TLS."""
    key, port = served.environments[0].key, served.nginx.port
    figures: Figures = {}
    with StreamClients(
        served.targets(),
        streams,
        processes=-(-streams // MAX_STREAMS_PER_CLIENT),
        window=window,
        client_process=RefetchingClientProcess,
        on=cores.CORES,
        key=key,
        port=port,
        feature=1,
    ) as clients:
        clients.expect(after=clients.open(TIMEOUT).version, enabled=True)
        work = machine.work()
        change(served)
        clients.arrived(TIMEOUT)
        machine.add(figures, "refetch", work, streams)
    return figures


def measure_tls(served: Service, machine: Machine, streams: int) -> Figures:
    """Streams with TLS: memory of nginx, connects with their handshake, and an event. One client after the other."""
    with tls_streams(served, WARM_UP):
        pass
    before = machine.memory()
    work = machine.work()
    figures: Figures = {}
    with tls_streams(served, streams) as connections:
        machine.add(figures, "connect", work, streams)
        figures["nginx_kib"] = (machine.memory()[1] - before[1]) / 1024 / streams
        drain(connections)
        work = machine.work()
        change(served)
        for connection in connections:
            read_event(connection)
        machine.add(figures, "event", work, streams)
    return figures


def change(served: Service) -> None:
    """Change the environment once."""
    served.upstream.start(served.nginx.port, CHANGES_PER_SECOND)
    changes, failures, _ = served.upstream.stop()
    if changes != 1 or failures:
        raise RuntimeError(f"{changes} changes, {failures}")


@contextmanager
def tls_streams(served: Service, number: int) -> Iterator[list[ssl.SSLSocket]]:
    """Open streams, each after the first event of the one before."""
    context = ssl.create_default_context(cafile=str(served.nginx.certificate))
    port = served.nginx.tls_port
    request = REQUEST.format(path=served.targets()[0].path, port=port).encode()
    with ExitStack() as stack:
        connections = []
        for _ in range(number):
            plain = socket.create_connection(("127.0.0.1", port), timeout=load.TIMEOUT)
            connection = stack.enter_context(context.wrap_socket(plain, server_hostname=NAME))
            connection.sendall(request)
            read_event(connection)
            connections.append(connection)
        yield connections


def read_event(connection: ssl.SSLSocket) -> None:
    received = b""
    while b"data:" not in received:
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError("a stream was cut")
        received += part


def drain(connections: list[ssl.SSLSocket]) -> None:
    """Read repeated events and keep-alives that have come."""
    for connection in connections:
        connection.settimeout(0)
        try:
            while connection.recv(65_536):
                pass
        except (ssl.SSLWantReadError, BlockingIOError):
            connection.settimeout(load.TIMEOUT)


def main() -> None:
    parser = report.parser("behind_nginx", __doc__)
    parser.add_argument("--streams", type=int, default=20_000)
    parser.add_argument("--tls-streams", type=int, default=4_000)
    parser.add_argument("--idle-seconds", type=float, default=20)
    parser.add_argument("--window", type=int, default=1_024, help="maximum number of concurrent fetches")
    parser.add_argument("--measurements", type=int, default=3)
    arguments = parser.parse_args()
    cores.raise_file_limit()
    result = Report(
        "behind_nginx", "", "memory and CPU time of a stream at a relay behind nginx", conditions(arguments)
    )
    gc.disable()
    for _ in range(arguments.measurements):
        # A process does not return the memory of closed streams.
        with service(1, FEATURES, 3_600) as served:
            machine = Machine(served)
            result.add("plain", measure_plain(served, machine, arguments.streams, arguments.idle_seconds))
        with service(1, FEATURES, 3_600, 1) as served:
            machine = Machine(served)
            result.add("TLS", measure_tls(served, machine, arguments.tls_streams))
            time.sleep(PAUSE_SECONDS)
            streams = min(arguments.streams, MAX_STREAMS_PER_CLIENT)
            result.add("plain, with refetches", measure_refetches(served, machine, streams, arguments.window))
    result.notes.append("CPU time and memory of a stream; the kernel's memory without the client's socket")
    result.output(arguments)


def conditions(arguments: argparse.Namespace) -> dict[str, object]:
    names = ("streams", "tls_streams", "idle_seconds", "window")
    return {**{name: getattr(arguments, name) for name in names}, "relays": 2, "features": FEATURES}


if __name__ == "__main__":
    main()
