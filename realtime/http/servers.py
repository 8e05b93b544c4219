"""Uvicorn's server and its multiprocess supervisor, as ``manage.py serve`` runs them.

They shut down without resetting a connection, and detect clients that vanish without closing theirs.
"""

import asyncio
import contextlib
import queue
import signal
import socket
import threading

import structlog
import uvicorn

from realtime.compat import uvicorn as compat
from realtime.conf import conf
from realtime.http import backlog

logger = structlog.get_logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# A client whose network fails sends neither FIN nor RST, and Linux retransmits for a quarter of an hour. A stream is
# sent a comment every 10 s, so with this option the stream of such a client ends within 40 s.
VANISHED_SECONDS = 30.0


def run(config: uvicorn.Config, *, restarts_on_hup: bool = True) -> None:
    """Serve until SIGTERM or SIGINT. ``restarts_on_hup``: SIGHUP restarts the workers; otherwise they get it."""
    if config.workers > 1:
        listening = config.bind_socket()
        set_user_timeout(listening)
        Workers(config, sockets=[listening], restarts_on_hup=restarts_on_hup).run()
        return
    config.load_app()
    Server(config).run()


def set_user_timeout(listening: socket.socket) -> None:
    """Close accepted connections whose client acknowledges or receives nothing for ``VANISHED_SECONDS``.

    Only on Linux, where accepted sockets inherit the option.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    try:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(VANISHED_SECONDS * 1000))
    except OSError as error:
        logger.info("user_timeout_not_set", error=repr(error))


class Server(compat.Server):
    """A server in one process, which owns its listening sockets."""

    def listens(self) -> None:
        for listening in self.listening_sockets():
            set_user_timeout(listening)

    async def before_closing(self) -> None:
        for listening in self.listening_sockets():
            backlog.drop_new_syns(listening)
        await asyncio.sleep(backlog.SETTLE_SECONDS)


class Workers(compat.Supervisor):
    """The supervisor of several processes that share a listening socket.

    Uvicorn's own handles signals only between two rounds of its loop, and a rolling restart (SIGHUP) is one round, in
    which it waits for each worker to exit. This one handles a signal at once: it terminates each worker once, and
    forwards a second signal.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], *, restarts_on_hup: bool = True) -> None:
        super().__init__(config, sockets, restarts_on_hup=restarts_on_hup)
        # SimpleQueue.put is reentrant, so a signal handler may call it; Event.set is not.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: self._signals.put(number))
        threading.Thread(target=self._shut_down, name="signals", daemon=True).start()

    def _shut_down(self) -> None:
        self._signals.get()
        self.should_exit.set()
        self.terminate_all()
        self._forward_signal(conf.DRAIN_SECONDS - backlog.SETTLE_SECONDS)
        # The workers accept connections until the end of their drain, which is SETTLE_SECONDS away.
        for listening in self.sockets:
            backlog.drop_new_syns(listening)
        self._forward_signal(2 * backlog.SETTLE_SECONDS)
        # The workers have closed their copies of the socket. This closes the port.
        for listening in self.sockets:
            listening.close()
        while True:
            self._forward_signal(None)

    def _forward_signal(self, seconds: float | None) -> None:
        """Forward the next signal to the workers, if one comes within this time."""
        with contextlib.suppress(queue.Empty):
            self._signals.get(timeout=seconds if seconds is None else max(0.0, seconds))
            self.terminate_again()
