"""Signals at a shutdown, in one process: the streams end, and then the server's own signal handler is called."""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from unittest import mock

import pytest

from environments.models import Environment
from realtime.delivery import hub
from realtime.http import drain, shutdown
from tests.realtime.clock import DAY
from tests.support.asgi import Client, eventually, stream
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The signals that a server's signal handler has received."""
    received: list[int] = []
    before = {signum: signal.getsignal(signum) for signum in drain.SIGNALS}
    monkeypatch.setattr(shutdown, "_begun", threading.Event())
    for signum in drain.SIGNALS:
        signal.signal(signum, lambda number, frame: received.append(number))
    yield received
    for signum, handler in before.items():
        signal.signal(signum, handler)


async def test_signal__open_stream__ends_before_the_server_gets_the_signal(
    streams: hub.Hub, server: list[int], environment: Environment, settings: object
) -> None:
    settings.REALTIME_DRAIN_SECONDS = 0.2  # type: ignore[attr-defined]
    async with stream(environment.api_key) as client:
        await client.opened()
        assert not drain.in_progress()
        signal.raise_signal(signal.SIGTERM)
        await client.until(lambda client: client.ended)
        await eventually(lambda: server == [signal.SIGTERM])
    assert drain.in_progress()


async def test_signal__twice__server_gets_it_immediately(
    streams: hub.Hub, server: list[int], environment: Environment, settings: object
) -> None:
    settings.REALTIME_DRAIN_SECONDS = DAY  # type: ignore[attr-defined]
    async with stream(environment.api_key) as client:
        await client.opened()
        signal.raise_signal(signal.SIGTERM)
        await eventually(drain.in_progress)
        signal.raise_signal(signal.SIGTERM)
        await eventually(lambda: server == [signal.SIGTERM])
    async with stream(environment.api_key) as late:
        await late.until(lambda client: client.ended)
    # After the streams have ended the server gets no second signal, which would mean an immediate exit.
    await eventually(lambda: len(streams._tasks) == 1)
    assert server == [signal.SIGTERM]


@pytest.mark.parametrize(("signum", "waits"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
async def test_signal__no_streams__sigterm_waits_for_proxies_and_sigint_does_not(
    streams: hub.Hub, server: list[int], settings: object, signum: signal.Signals, waits: bool
) -> None:
    seconds = 0.4 if waits else DAY
    settings.REALTIME_DRAIN_SECONDS = seconds  # type: ignore[attr-defined]
    async with stream("unknown") as client:
        await client.opened()
    began = streams.loop.time()
    signal.raise_signal(signum)
    await eventually(lambda: server == [signum])
    assert (streams.loop.time() - began >= seconds) is waits


async def test_signal__sent_to_a_worker_and_by_its_parent__counts_once(
    streams: hub.Hub, server: list[int], environment: Environment, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REALTIME_DRAIN_SECONDS = DAY  # type: ignore[attr-defined]
    monkeypatch.setattr(drain, "DUPLICATE_SECONDS", DAY)
    with mock.patch.object(multiprocessing, "parent_process", return_value=object()):
        async with stream(environment.api_key) as client:
            await client.opened()
            signal.raise_signal(signal.SIGINT)
            await eventually(drain.in_progress)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert server == []
        await eventually(lambda: server == [signal.SIGINT])


async def test_signal__client_that_does_not_read__server_gets_the_signal(
    streams: hub.Hub, server: list[int], environment: Environment, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REALTIME_DRAIN_SECONDS = 0.05  # type: ignore[attr-defined]
    settings.REALTIME_KEEPALIVE_SECONDS = 0.01  # type: ignore[attr-defined]
    monkeypatch.setattr(drain, "GRACE_SECONDS", 0.05)
    client = Client(f"/sse/environments/{environment.api_key}/stream")
    task = asyncio.create_task(client.run())
    await client.opened()
    client.reading.clear()
    await eventually(lambda: client.blocked)
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: server == [signal.SIGTERM])
    client.reading.set()
    await asyncio.wait_for(task, PATIENCE)


async def test_signal__ignored_by_the_server__still_ignored_after_the_drain(
    streams: hub.Hub, server: list[int], environment: Environment, settings: object
) -> None:
    settings.REALTIME_DRAIN_SECONDS = 0  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    async with stream(environment.api_key) as client:
        await client.opened()
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)


def test_signal__loop_closed__server_gets_it(server: list[int]) -> None:
    async def prepare() -> None:
        drain.install_signal_handlers()

    asyncio.run(prepare())
    signal.raise_signal(signal.SIGINT)
    assert server == [signal.SIGINT]


def test_prepare__not_in_the_main_thread__does_not_change_the_handlers(server: list[int]) -> None:
    async def prepare() -> None:
        drain.install_signal_handlers()

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=asyncio.run, args=[prepare()])
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
