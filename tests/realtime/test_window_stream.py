"""The stream of a dashboard's window without a dashboard: what a host application that serves it relies on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from environments.models import Environment
from features.models import FeatureState
from realtime.delivery.sinks import ASGISink, Piece
from realtime.delivery.window_stream import WindowStream
from realtime.http import streams
from realtime.types import EnvironmentKey
from tests.support.asgi import Client
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("closed_runtime")]


@asynccontextmanager
async def window(key: str, kind: type[WindowStream] = WindowStream) -> AsyncIterator[Client]:
    client = Client("/window")
    sink = ASGISink(client.send)
    stream = kind(sink)
    serving = streams.serve(EnvironmentKey(key), client.scope, client._received.get, stream, sink)
    task = asyncio.create_task(serving)
    try:
        yield client
    finally:
        client.disconnect()
        await asyncio.wait_for(task, PATIENCE)


async def test_window__unknown_key__comment_and_no_event() -> None:
    async with window("unknown") as client:
        await client.opened()
        assert client.events == []
        assert b"no environment has this key" in client.chunks[-1]


class FailingStream(WindowStream):
    """Fails when a version is delivered to it."""

    __slots__ = ()

    def deliver(self, frame: Piece) -> bool:
        raise RuntimeError


async def test_window__fails__it_ends_and_the_others_receive_the_version(
    environment: Environment, state: FeatureState, caplog: pytest.LogCaptureFixture
) -> None:
    key = environment.api_key

    @sync_to_async
    def change() -> Any:
        state.enabled = not state.enabled
        state.save()

    async with window(key, FailingStream) as failing, window(key) as other:
        for client in (failing, other):
            await client.opened()
        await change()
        await failing.until(lambda client: client.ended)
        await other.until(lambda client: len(client.events) >= 2)
        assert not other.ended
    assert "stream_failed" in caplog.text
