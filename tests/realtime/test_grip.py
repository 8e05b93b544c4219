"""GRIP: streams that a proxy holds, and what is published to it. An HTTP receiver takes the proxy's place."""

import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest import mock

import django_grip
import jwt
import pytest
import requests
from asgiref.sync import sync_to_async
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from gripcontrol import Channel, HttpStreamFormat, create_grip_channel_header, parse_grip_uri, validate_sig
from pubcontrol import Item
from pytest_django import Settings

from environments.models import Environment
from features.models import FeatureState
from organisations.models import Organisation
from projects.models import Project
from realtime.bus import eventstream
from realtime.changes import grip, publish
from realtime.delivery import hub, sse
from realtime.delivery.stream import OPENING, STREAMING_DISABLED, UNKNOWN_KEY
from realtime.hosts import EmbeddedHost
from realtime.serving import grip_url
from realtime.types import EnvironmentKey, EnvironmentState
from tests.support.asgi import Client, stream
from tests.support.detached import TOKEN, DetachedServer
from tests.support.patience import PATIENCE, START
from tests.support.receiver import Received, Receiver
from tests.support.server import environ

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SECRET = "a secret of the proxy, of 32 bytes"


class Proxy(Receiver):
    """The publishing endpoint of a proxy."""

    def __init__(self, barrier: Environment) -> None:
        super().__init__()
        self._barrier = barrier

    def published(self) -> list[Received]:
        """What has been published so far, and ``next`` has not returned."""
        publish.publish(states_of(self._barrier))
        found = []
        while channel_of(received := self.next()) != eventstream.grip_channel(EnvironmentKey(self._barrier.api_key)):
            found.append(received)
        return found


@pytest.fixture
def proxy(settings: Settings, monkeypatch: pytest.MonkeyPatch, organisation: Organisation) -> Iterator[Proxy]:
    """A proxy that the settings name."""
    project = Project.objects.create(name="Barrier", organisation=organisation, enable_realtime_updates=True)
    with Proxy(Environment.objects.create(name="Barrier", project=project)) as proxy:
        settings.GRIP_URL = url_of(proxy)
        # django-grip reads its settings once.
        monkeypatch.setattr(django_grip, "_pubcontrol", None)
        monkeypatch.setattr(grip.publisher().worker, "pauses", (0.01, 0.01))
        monkeypatch.setattr(eventstream, "GRIP_SECONDS", PATIENCE)
        yield proxy
        proxy.released.set()
        proxy.published()


def url_of(receiver: Receiver) -> str:
    return f"{receiver.url}?iss=flagsmith&key={SECRET.replace(' ', '%20')}"


def signature(secret: str = SECRET, seconds: float = 60) -> str:
    """The header with which a proxy signs its requests."""
    return jwt.encode({"iss": "pushpin", "exp": int(time.time() + seconds)}, secret)


def toggle(state: FeatureState) -> bytes:
    """Toggle the flag, and return the frame of the new version."""
    state.enabled = not state.enabled
    state.save()
    return latest(state.environment)


def latest(environment: Environment) -> bytes:
    return sse.frame(Environment.objects.values_list("updated_at", flat=True).get(pk=environment.pk))


def gate(project: Project, is_open: bool) -> None:
    project.enable_realtime_updates = is_open
    project.save()


def item(key: str, frame: bytes) -> dict[str, Any]:
    """The item as gripcontrol exports it."""
    exported = Item(HttpStreamFormat(frame.decode(), content_filters=[])).export()
    return {**exported, "channel": f"events-realtime-environment-{key}"}


def items(received: Received) -> Any:
    return received.json()["items"]


def channel_of(received: Received) -> Any:
    return items(received)[0]["channel"]


def states_of(*environments: Environment) -> list[EnvironmentState]:
    return [EnvironmentState(EnvironmentKey(each.api_key), each.updated_at, True) for each in environments]


def test_change__grip_proxy__gets_the_frame_once(proxy: Proxy, state: FeatureState) -> None:
    proxy.published()
    frame = toggle(state)

    received = proxy.next()
    assert received.path == "/hook/publish/"
    assert items(received) == [item(state.environment.api_key, frame)]
    assert validate_sig(received.headers["Authorization"].removeprefix("Bearer "), SECRET, iss="flagsmith")
    assert proxy.published() == []


def test_change__gate_closes_before_the_proxy_answers__silent_until_it_opens(
    proxy: Proxy, project: Project, state: FeatureState
) -> None:
    proxy.published()

    def reject_late(handler: BaseHTTPRequestHandler) -> None:
        proxy.wait_for_release(handler)
        handler.send_error(404)

    proxy.answers.append(reject_late)
    toggle(state)
    proxy.next()

    # The event that the proxy has rejected is tried again after the gate has closed.
    gate(project, False)
    toggle(state)
    proxy.released.set()
    assert proxy.published() == []

    gate(project, True)
    assert items(proxy.next()) == [item(state.environment.api_key, latest(state.environment))]


def test_change__proxy_does_not_answer__not_delayed_and_newest_version_follows(
    proxy: Proxy, state: FeatureState, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.published()
    monkeypatch.setattr(eventstream, "GRIP_SECONDS", 0.05)
    proxy.answers.extend([proxy.wait_for_release] * 2)

    # The request under way blocks neither this change nor the next one.
    toggle(state)
    proxy.next()
    frame = toggle(state)
    assert not proxy.released.is_set()

    while items(received := proxy.next()) != [item(state.environment.api_key, frame)]:
        assert channel_of(received) == eventstream.grip_channel(EnvironmentKey(state.environment.api_key))


def test_publish__proxy_rejects_one_environment__others_do_not_wait_for_it(
    proxy: Proxy, environment: Environment, production: Environment
) -> None:
    proxy.published()
    proxy.answers.append(404)
    rejected, other = states_of(environment, production)
    publish.publish([rejected, other])

    assert [channel_of(proxy.next()) for _ in range(3)] == [
        eventstream.grip_channel(key) for key in (rejected.key, other.key, rejected.key)
    ]


async def opened(key: str, **headers: str) -> Client:
    """Send a request through the proxy, and wait for the end of the response."""
    client = Client(f"/sse/environments/{key}/stream", {"Grip-Sig": signature(), **headers})
    await client.run()
    return client


def headers_of(client: Client) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in client.sent[0]["headers"]}


async def test_stream__through_the_proxy__hold_instructions_with_the_newest_event(
    proxy: Proxy, streams: hub.Hub, settings: Settings, environment: Environment
) -> None:
    settings.REALTIME_KEEPALIVE_SECONDS = 60
    client = await opened(environment.api_key)

    headers = headers_of(client)
    assert client.sent[0]["status"] == 200
    assert headers["content-type"] == "text/event-stream"
    assert headers["access-control-allow-origin"] == "*"
    assert headers["grip-hold"] == "stream"
    channel = Channel(f"events-realtime-environment-{environment.api_key}")
    assert headers["grip-channel"] == create_grip_channel_header(channel)
    assert headers["grip-keep-alive"] == r":\n\n; format=cstring; timeout=15"
    body = b"".join(client.chunks)
    assert body == OPENING.body + await sync_to_async(latest)(environment)
    assert int(headers["content-length"]) == len(body)
    assert client.ended
    # The proxy has the stream, and this process has none.
    assert streams.open_count == 0


async def test_stream__through_the_proxy_without_an_event__held_with_the_reason(
    proxy: Proxy, streams: hub.Hub, project: Project, environment: Environment
) -> None:
    await sync_to_async(gate)(project, False)
    closed = await opened(environment.api_key, **{"User-Agent": "Mozilla/5.0"})
    unknown = await opened("no, such; key")

    assert b"".join(closed.chunks) == sse.RETRY + OPENING.body + STREAMING_DISABLED.body
    assert b"".join(unknown.chunks) == OPENING.body + UNKNOWN_KEY.body
    assert headers_of(closed)["grip-hold"] == headers_of(unknown)["grip-hold"] == "stream"
    # One channel, whatever the key contains.
    assert headers_of(unknown)["grip-channel"] == "events-realtime-environment-no%2C%20such%3B%20key"


@pytest.mark.parametrize(
    "headers",
    [
        {"Grip-Sig": signature("another secret, also of 32 bytes!")},
        {"Grip-Sig": signature(seconds=-60)},
        {"Grip-Sig": "junk"},
        # Its streams have to end after 30 s, or with the next event. The proxy can do neither.
        {"User-Agent": "Dart/3.5 (dart:io)", "Grip-Sig": signature(seconds=600)},
        {"User-Agent": "Faraday v2.9", "Grip-Sig": signature(seconds=600)},
    ],
)
async def test_stream__not_for_the_proxy_to_hold__served_by_this_process(
    proxy: Proxy, streams: hub.Hub, environment: Environment, headers: dict[str, str]
) -> None:
    async with stream(environment.api_key, headers) as client:
        await client.until(lambda client: client.events)
        assert not client.ended
        assert "grip-hold" not in headers_of(client)


async def test_stream__through_the_proxy_without_a_database__served_by_this_process(
    proxy: Proxy, streams: hub.Hub, environment: Environment
) -> None:
    with mock.patch.object(EmbeddedHost, "states", side_effect=DatabaseError("gone")):
        async with stream(environment.api_key, {"Grip-Sig": signature()}) as client:
            await client.until(lambda client: any(b"cannot be read" in chunk for chunk in client.chunks))
            assert "grip-hold" not in headers_of(client)


async def test_stream__no_proxy_configured__signature_ignored(streams: hub.Hub, environment: Environment) -> None:
    async with stream(environment.api_key, {"Grip-Sig": signature()}) as client:
        await client.until(lambda client: client.events)
        assert "grip-hold" not in headers_of(client)


def test_detached_server__grip_url__holds_streams_and_publishes_posts(tmp_path: Path) -> None:
    with Receiver() as proxy, DetachedServer(tmp_path, GRIP_URL=url_of(proxy)) as server:
        url = f"{server.url}/sse/environments/posted/"
        posted = requests.post(
            url + "queue-change",
            json={"updated_at": "2026-01-02T03:04:05.678902"},
            headers={"Authorization": f"Token {TOKEN}"},
            timeout=PATIENCE,
        )
        assert posted.status_code == 202
        (published,) = items(proxy.next())
        assert published["channel"] == "events-realtime-environment-posted"

        # By the shortcut's connection, twice: the second time the request is in the cache.
        for _ in range(2):
            held = requests.get(url + "stream", headers={"Grip-Sig": signature()}, timeout=PATIENCE)
            assert (held.status_code, held.headers["Grip-Hold"]) == (200, "stream")
            assert held.headers["Grip-Channel"] == published["channel"]
            assert held.text == OPENING.body.decode() + published["http-stream"]["content"]


@pytest.mark.parametrize(
    "url, problem",
    [
        ("pushpin:5561", "publishing endpoint"),
        ("ftp://pushpin:5561", "publishing endpoint"),
        ("http://", "publishing endpoint"),
        ("http://push pin:5561", "publishing endpoint"),
        ("http://pushpin:port", "cannot be read"),
        ("http://pushpin:5561?key=base64:a", "cannot be read"),
        ("http://pushpin:5561?iss=a", "iss without key"),
        ("https://api.example.com/service/1?verify-key=k&verify-iss=i", "verify-key, verify-iss without key"),
        ("http://pushpin:5561?secret=hidden", "unknown parameter"),
    ],
)
def test_grip_url__invalid__error_names_it_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, url: str, problem: str
) -> None:
    monkeypatch.setenv("GRIP_URL", url)
    with pytest.raises(ImproperlyConfigured, match=f"^GRIP_URL .*{problem}") as raised:
        grip_url.settings()
    assert "hidden" not in str(raised.value)
    # In a project's own settings.
    settings.GRIP_URL = url
    assert [(message.id, message.msg) for message in grip_messages()] == [("realtime.E017", str(raised.value))]


def grip_messages() -> list[Any]:
    return [message for message in run_checks() if message.id == "realtime.E017"]


def test_grip_url__valid__becomes_the_setting(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    url = "https://api.example.com/service/1?key=base64:c2VjcmV0&verify-iss=i&verify-key=k"
    assert parse_grip_uri(url)["key"] == b"secret"
    for given, expected in ((f" {url} ", {"GRIP_URL": url}), ("", {})):
        monkeypatch.setenv("GRIP_URL", given)
        assert grip_url.settings() == expected
    settings.GRIP_URL = url
    assert grip_messages() == []


def test_checks__grip_url_without_a_publisher__error(settings: Settings) -> None:
    settings.GRIP_URL = "http://localhost:5561"
    settings.GRIP_PROXIES = [{"control_uri": "http://localhost:5561"}]
    (message,) = grip_messages()
    assert "GRIP_PROXIES" in message.msg
    settings.GRIP_PROXIES = []
    settings.REALTIME_HOST, settings.REALTIME_FLAGSMITH = "flagsmith", "follow"
    (message,) = grip_messages()
    assert "REALTIME_FLAGSMITH" in message.msg


def test_start__invalid_grip_url__one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "realtime.detached", "serve", "--port=1"],
        env=environ(GRIP_URL="pushpin:5561", SSE_AUTHENTICATION_TOKEN=TOKEN),
        capture_output=True,
        text=True,
        timeout=START,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("flagsmith-realtime: GRIP_URL is not the URL of a publishing endpoint.")
