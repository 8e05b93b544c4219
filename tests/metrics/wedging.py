"""The product's ASGI application, with endpoints that block its parts. Used by ``tests.metrics.wedged``."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

from django.db import OperationalError

from realtime import bus
from realtime.bus.supervised import SupervisedBus
from realtime.delivery import hub
from realtime.hosts import EmbeddedHost
from settings.asgi import application as product

released = threading.Event()
listener_dies = threading.Event()


class MortalBus(SupervisedBus):
    """A bus whose listening thread can be ended. Those of the product never end."""

    name = "memory"

    def listen(self) -> None:
        self.connected()
        while not self.worker.is_ending:
            time.sleep(0.1)
            self.beat()
            if listener_dies.is_set():
                raise SystemExit


bus.BACK_ENDS["memory"] = f"{__name__}.MortalBus"


def block_the_loop() -> None:
    """Block until the test creates a file. A request could not end it, because the blocked loop does not answer."""
    file = Path(os.environ["VAR_DIR"], "resume")
    while not file.exists():
        time.sleep(0.05)


def kill_the_listener() -> None:
    listener_dies.set()


def kill_the_reconciler() -> None:
    [task] = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "Reconcile.run"]  # type: ignore[union-attr]
    task.cancel()


def revive_the_listener() -> None:
    listener_dies.clear()
    bus.current().close()
    bus.current().start()


def revive_the_reconciler() -> None:
    streams = hub.current()
    streams.spawn(streams._reconcile.run())


def hang_the_reader() -> None:
    task = asyncio.ensure_future(hub.current().reader._thread.run(released.wait))
    task.add_done_callback(lambda _: released.clear())


def release_the_reader() -> None:
    released.set()


def fail(*arguments: Any) -> None:
    raise OperationalError("the database is unavailable")


lost = mock.patch.multiple(EmbeddedHost, changed_since=fail, states=fail)


def lose_the_database() -> None:
    lost.start()


def find_the_database() -> None:
    lost.stop()


ACTIONS = {
    f"/{action.__name__}": action
    for action in (
        block_the_loop,
        kill_the_listener,
        kill_the_reconciler,
        revive_the_listener,
        revive_the_reconciler,
        hang_the_reader,
        release_the_reader,
        lose_the_database,
        find_the_database,
    )
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    action = ACTIONS.get(scope["path"]) if scope["type"] == "http" else None
    if action is None:
        await product(scope, receive, send)
        return
    action()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
