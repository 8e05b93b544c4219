"""The stream of a dashboard's window, in the test's event loop: who gets it, what it sends, and when it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client as Browser
from pytest_django import Settings

from dashboard import window_streams
from environments.models import Environment
from features.models import FeatureState
from organisations.models import Organisation, UserOrganisation
from projects.models import Project
from realtime.delivery import hub
from realtime.types import EnvironmentKey, epoch_seconds
from tests.support.asgi import Client, eventually, stream
from tests.support.patience import PATIENCE
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
async def streams(monkeypatch: pytest.MonkeyPatch, settings: Settings, closed_runtime: None) -> hub.Hub:
    monkeypatch.setattr(window_streams, "CHECK_SECONDS", 0.05)
    settings.REALTIME_REPEAT_SECONDS = 0
    return hub.current()


HOST = {"host": "testserver"}


def cookies(browser: Browser) -> dict[str, str]:
    return HOST | {"cookie": f"other=1; sessionid={browser.cookies['sessionid'].value}"}


@asynccontextmanager
async def window(path: str, headers: dict[str, str]) -> AsyncIterator[Client]:
    client = Client(f"{path}stream/", headers)
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        client.disconnect()
        await asyncio.wait_for(task, PATIENCE)


@sync_to_async
def toggle(state: FeatureState) -> bytes:
    """Change the state. Returns the version in the format of events."""
    state.enabled = not state.enabled
    state.save()
    return epoch_seconds(Environment.objects.get(pk=state.environment_id).updated_at).encode()


async def receives(client: Client, version: bytes) -> None:
    await client.until(lambda client: client.events and version in client.events[-1])


async def test_window__gate_closed__gets_versions_and_is_no_application(
    browser: Browser, base_path: str, environment: Environment, project: Project, state: FeatureState, streams: hub.Hub
) -> None:
    key = EnvironmentKey(environment.api_key)
    project.enable_realtime_updates = False
    await project.asave()
    async with window(base_path, cookies(browser)) as opened, stream(key) as application:
        await application.opened()
        await opened.until(lambda client: client.events)
        await receives(opened, await toggle(state))
        assert application.events == []
        assert (streams.stream_count(key), streams.window_count(key)) == (1, 1)
        project.enable_realtime_updates = True
        await project.asave()
        await application.until(lambda client: client.events)
        version = await toggle(state)
        await receives(opened, version)
        await receives(application, version)
    await eventually(lambda: not streams.open_count)
    assert not streams.topics
    headers = dict(opened.sent[0]["headers"])
    assert headers[b"cache-control"] == b"private, no-store"
    assert b"access-control-allow-origin" not in headers


async def test_window__not_allowed__response_of_the_page(
    browser: Browser, stranger: Browser, member_browser: Browser, base_path: str, environment: Environment
) -> None:
    path = f"{base_path}stream/"
    for headers, status in (
        (HOST, 403),
        (HOST | {"cookie": "sessionid=forged"}, 403),
        (cookies(stranger), 404),
        (cookies(member_browser), 404),
    ):
        client = Client(path, headers)
        await client.run()
        assert client.sent[0]["status"] == status
        assert client.ended
    unknown = Client(path.replace(environment.api_key, "unknown"), cookies(browser))
    await unknown.run()
    assert unknown.sent[0]["status"] == 404


@sync_to_async
def sign_out(browser: Browser, user: FFAdminUser) -> None:
    browser.post("/sign-out/")


@sync_to_async
def change_password(browser: Browser, user: FFAdminUser) -> None:
    user.set_password("another-pa55-word")
    user.save()


@sync_to_async
def deactivate(browser: Browser, user: FFAdminUser) -> None:
    user.is_active = False
    user.save()


@sync_to_async
def remove_from_organisation(browser: Browser, user: FFAdminUser) -> None:
    UserOrganisation.objects.filter(user=user).delete()


@pytest.mark.parametrize("end", [sign_out, change_password, deactivate, remove_from_organisation])
async def test_window__session_or_permission_ends__stream_ends_and_others_stay(
    end: Any, browser: Browser, viewer: Browser, user: FFAdminUser, base_path: str
) -> None:
    async with window(base_path, cookies(browser)) as ending, window(base_path, cookies(viewer)) as staying:
        for client in (ending, staying):
            await client.until(lambda client: client.events)
        await end(browser, user)
        await ending.until(lambda client: client.ended)
        assert not staying.ended


async def test_window__stream_ends_by_its_age__asked_to_reopen_before(
    browser: Browser, base_path: str, settings: Settings
) -> None:
    settings.REALTIME_STREAM_SECONDS = 1
    async with window(base_path, cookies(browser)) as client:
        await client.until(lambda client: b"event: reopen\ndata: {}\n\n" in client.chunks)
        assert not client.ended
        await client.until(lambda client: client.ended)
    assert client.chunks.count(b"event: reopen\ndata: {}\n\n") == 1


async def test_window__more_streams_of_a_session__the_oldest_ends(
    browser: Browser, base_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_streams, "MAX_STREAMS_PER_SESSION", 2)
    headers = cookies(browser)
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(3):
            clients.append(await stack.enter_async_context(window(base_path, headers)))
            await clients[-1].until(lambda client: client.events)
        await clients[0].until(lambda client: client.ended)
        assert [client.ended for client in clients] == [True, False, False]


async def test_window__check_fails__streams_stay_and_one_line_is_logged(
    browser: Browser, base_path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def fail(visits: object) -> set[Any]:
        calls.append(visits)
        raise OSError

    monkeypatch.setattr(window_streams, "allowed_visits", fail)
    async with window(base_path, cookies(browser)) as client:
        await client.until(lambda client: client.events)
        await eventually(lambda: len(calls) > 2)
        assert not client.ended
    assert caplog.text.count("window_streams_unchecked") == 1


async def test_window__slow_client__newest_version_and_no_figures(
    browser: Browser, base_path: str, environment: Environment, state: FeatureState, organisation: Organisation
) -> None:
    async with window(base_path, cookies(browser)) as client:
        await client.until(lambda client: client.events)
        client.reading.clear()
        for _ in range(3):
            version = await toggle(state)
            await eventually(lambda: client.blocked)
        client.reading.set()
        await receives(client, version)
