"""A stream on a machine with nginx and relays: ``python -m benchmarks.behind_nginx``.

The memory of a stream in the relays, in nginx and in the kernel, and the CPU time of relays and nginx for a connect,
for keep-alives, for an event, and for a refetch after it; over plain HTTP, and with TLS. One environment; the
upstream is the product. Two relays, or one where clients refetch, because they check that an answer is not older than
the event.

The kernel's memory is the growth of its slabs and of page tables: sockets, open files, epoll items. Of the four sockets
of a stream here, three are on the machine of nginx and the relay; the fourth is the client's.
"""

import gc
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from benchmarks import cores, load, proc, report
from benchmarks.client_process import REQUEST
from benchmarks.refetching import RefetchingClientProcess
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product, relay
from benchmarks.streams import StreamClients, Target
from tests.support.nginx import NAME, Nginx

RELAYS = 2
WARM_UP = 100
FEATURES = 50

# A stream takes two open files of a worker, and workers do not get equally many.
NGINX_WORKERS = 4
NGINX_FILES = 20_000
MAX_STREAMS_PER_CLIENT = 10_000

SOCKETS, SERVER_SOCKETS = 4, 3
"""Of a stream here, and those of nginx and the relay."""

# On a busy machine: CPU time and memory are valid there too.
TIMEOUT = 600.0

# Longer than REALTIME_REPEAT_SECONDS.
PAUSE_SECONDS = 3.0

KERNEL = ("Slab", "PageTables")


class Work(NamedTuple):
    """CPU time, and the time at which it was read, in seconds."""

    at: float
    relays: float
    nginx: float


class Machine:
    """The product, relays in front of it, and nginx in front of them."""

    def __init__(self, served: Product, relays: list[int], nginx: Nginx) -> None:
        assert nginx.process is not None
        self.relays = relays
        self.nginx = nginx
        self._nginx_pid = nginx.process.pid
        self.target = Target(nginx.port, f"/sse/environments/{served.key}/stream")
        self.key = served.key
        self.admin = served.admin()
        before = self.work()
        time.sleep(PAUSE_SECONDS)
        idle = self.work()
        self._idle_part = (idle.relays - before.relays) / (idle.at - before.at)
        """The part of a core that the relays take without streams."""

    def work(self) -> Work:
        return Work(time.perf_counter(), proc.cpu_seconds(*self.relays), proc.cpu_seconds(self._nginx_pid))

    def add(self, figures: Figures, what: str, since: Work, times: float) -> None:
        """Add the CPU time of each of so many pieces of work, without what the relays do anyway."""
        now = self.work()
        relays = now.relays - since.relays - self._idle_part * (now.at - since.at)
        figures[f"relay_{what}_us"] = relays * 1e6 / times
        figures[f"nginx_{what}_us"] = (now.nginx - since.nginx) * 1e6 / times

    def memory(self) -> tuple[int, int, int]:
        """The settled memory of the relays, of nginx and of the kernel, in bytes."""
        relays, nginx = proc.settled(*self.relays).pss, proc.settled(self._nginx_pid).pss
        return relays, nginx, proc.kernel(*KERNEL)

    def toggle(self) -> None:
        self.admin.reconnect()
        self.admin.toggle()


@contextmanager
def machine(relays: int = RELAYS, features: int = FEATURES) -> Iterator[Machine]:
    with ExitStack() as stack:
        served = stack.enter_context(product(on=cores.CORES))
        served.add_features(features)
        trusted = {"REALTIME_TRUSTED_PROXIES": "127.0.0.1"}
        upstream = {"UPSTREAM_REALTIME_URL": served.server.url}
        started = [stack.enter_context(relay(served, cores.CORES, **trusted, **upstream)) for _ in range(relays)]
        nginx = Nginx([each.port for each in started], workers=NGINX_WORKERS, files=NGINX_FILES)
        yield Machine(served, [each.process.pid for each in started], stack.enter_context(nginx))


def measure_plain(on: Machine, streams: int, idle_seconds: float) -> Figures:
    """Streams without TLS: memory, connects, keep-alives, and an event."""
    processes = -(-streams // MAX_STREAMS_PER_CLIENT)
    with StreamClients([on.target], WARM_UP, on=cores.CORES) as few:
        few.open(TIMEOUT)
    before = on.memory()
    figures: Figures = {}
    with StreamClients([on.target], streams, processes=processes, on=cores.CORES) as many:
        work = on.work()
        version = many.open(TIMEOUT).version
        on.add(figures, "connect", work, streams)
        after = on.memory()
        kib = [(now - then) / 1024 / streams for now, then in zip(after, before, strict=True)]
        work = on.work()
        time.sleep(idle_seconds)
        on.add(figures, "idle_second", work, streams * idle_seconds)
        many.expect(after=version)
        work = on.work()
        on.toggle()
        many.arrived(TIMEOUT)
        on.add(figures, "event", work, streams)
    return {
        "relay_process_mib": before[0] / len(on.relays) / 2**20,
        "relay_kib": kib[0],
        "nginx_kib": kib[1],
        "kernel_kib": kib[2] * SERVER_SOCKETS / SOCKETS,
        **figures,
    }


def measure_refetches(on: Machine, streams: int, window: int) -> Figures:
    """An event, and a refetch of each client on a new connection, without TLS."""
    figures: Figures = {}
    options = {"key": on.key, "port": on.target.port, "feature": on.admin.feature}
    with StreamClients(
        [on.target],
        streams,
        processes=-(-streams // MAX_STREAMS_PER_CLIENT),
        window=window,
        client_process=RefetchingClientProcess,
        on=cores.CORES,
        **options,
    ) as refetching:
        refetching.expect(after=refetching.open(TIMEOUT).version, enabled=not on.admin.enabled)
        work = on.work()
        on.toggle()
        refetching.arrived(TIMEOUT)
        on.add(figures, "refetch", work, streams)
    return figures


def measure_tls(on: Machine, streams: int) -> Figures:
    """Streams with TLS: memory of nginx, connects with their handshake, and an event. One client after the other."""
    with tls_streams(on, WARM_UP):
        pass
    before = on.memory()
    work = on.work()
    figures: Figures = {}
    with tls_streams(on, streams) as connections:
        on.add(figures, "connect", work, streams)
        figures["nginx_kib"] = (on.memory()[1] - before[1]) / 1024 / streams
        drain(connections)
        work = on.work()
        on.toggle()
        for connection in connections:
            read_event(connection)
        on.add(figures, "event", work, streams)
    return figures


@contextmanager
def tls_streams(on: Machine, number: int) -> Iterator[list[ssl.SSLSocket]]:
    """Open streams, each after the first event of the one before."""
    context = ssl.create_default_context(cafile=str(on.nginx.certificate))
    port = on.nginx.tls_port
    request = REQUEST.format(path=on.target.path, port=port).encode()
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
    names = ("streams", "tls_streams", "idle_seconds", "window")
    conditions = {**{name: getattr(arguments, name) for name in names}, "relays": RELAYS, "features": FEATURES}
    result = Report("behind_nginx", "", "memory and CPU time of a stream at a relay behind nginx", conditions)
    gc.disable()
    for _ in range(arguments.measurements):
        # A process does not return the memory of closed streams.
        with machine() as on:
            result.add("plain", measure_plain(on, arguments.streams, arguments.idle_seconds))
        with machine(relays=1) as on:
            result.add("TLS", measure_tls(on, arguments.tls_streams))
            time.sleep(PAUSE_SECONDS)
            streams = min(arguments.streams, MAX_STREAMS_PER_CLIENT)
            result.add("plain, with refetches", measure_refetches(on, streams, arguments.window))
    result.notes.append("CPU time and memory of a stream; the kernel's memory without the client's socket")
    result.output(arguments)


if __name__ == "__main__":
    main()
