"""A shutdown's signals, in one process: what the streams do, and when the server's own handler is called."""

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
    """Stands for a server: the signals that its handler got."""
    got: list[int] = []
    before = {signum: signal.getsignal(signum) for signum in drain.SIGNALS}
    monkeypatch.setattr(shutdown, "_begun", threading.Event())
    for signum in drain.SIGNALS:
        signal.signal(signum, lambda number, frame: got.append(number))
    yield got
    for signum, handler in before.items():
        signal.signal(signum, handler)


async def test_signal__open_stream__ends_and_then_the_server_is_told(
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


async def test_signal__twice__the_server_is_told_at_once(
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
    # The streams have ended: no reason to tell it again, which to a server means that it shall not be graceful.
    await eventually(lambda: len(streams._tasks) == 1)
    assert server == [signal.SIGTERM]


@pytest.mark.parametrize(("signum", "waits"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
async def test_signal__no_streams__proxies_get_the_window_to_notice_and_who_presses_keys_does_not_wait(
    streams: hub.Hub, server: list[int], settings: object, signum: signal.Signals, waits: bool
) -> None:
    seconds = 0.4 if waits else DAY
    settings.REALTIME_DRAIN_SECONDS = seconds  # type: ignore[attr-defined]
    async with stream("nobody") as client:
        await client.opened()
    began = streams.loop.time()
    signal.raise_signal(signum)
    await eventually(lambda: server == [signum])
    assert (streams.loop.time() - began >= seconds) is waits


async def test_signal__sent_to_a_worker_and_passed_on_by_its_parent__is_one(
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


async def test_signal__client_that_reads_nothing__the_server_is_told_all_the_same(
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


async def test_signal__server_that_ignores_it__goes_on(
    streams: hub.Hub, server: list[int], environment: Environment, settings: object
) -> None:
    settings.REALTIME_DRAIN_SECONDS = 0  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    async with stream(environment.api_key) as client:
        await client.opened()
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)


def test_signal__after_the_loop_is_closed__goes_to_the_server(server: list[int]) -> None:
    async def prepare() -> None:
        drain.install_signal_handlers()

    asyncio.run(prepare())
    signal.raise_signal(signal.SIGINT)
    assert server == [signal.SIGINT]


def test_prepare__outside_of_the_main_thread__leaves_the_handlers_alone(server: list[int]) -> None:
    async def prepare() -> None:
        drain.install_signal_handlers()

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=asyncio.run, args=[prepare()])
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
