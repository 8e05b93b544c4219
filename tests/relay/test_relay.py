"""The parts of a relay's process together, without a server: start, changed keys, and the upstream's streams."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from realtime.relay import configuration, host, relay, upstream_streams
from realtime.relay.relay import Relay
from realtime.serving import redis_urls
from realtime.types import EnvironmentKey, EnvironmentState
from tests.support import ports
from tests.support.asgi import eventually
from tests.support.relay import NEVER, pairs
from tests.support.upstream import START, Environment, Upstream

Start = Callable[..., Awaitable[Relay]]


@pytest.fixture
def file(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFIG_PATH", str(tmp_path / "config.json"))
    return tmp_path / "config.json"


@pytest.fixture
def write(file: Path, upstream: Upstream) -> Callable[..., None]:
    """A function that writes the configuration file."""

    def write(*shops: Environment, **other: Any) -> None:
        content = {"api_url": upstream.api_url, "api_poll_frequency_seconds": NEVER, **other}
        file.write_text(json.dumps({**content, "environment_key_pairs": pairs(*shops)}))

    return write


@pytest.fixture
async def start(
    tmp_path: Path, write: Callable[..., None], settings: Any, monkeypatch: pytest.MonkeyPatch, closed_runtime: None
) -> Start:
    """A function that starts a relay with this configuration file."""
    monkeypatch.setenv("RELAY_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(relay, "FILE_CHECK_SECONDS", 0.02)

    async def start(*shops: Environment) -> Relay:
        write(*shops)
        started = Relay(configuration.load())
        await started.start()
        return started

    return start


def banner(made: Relay, shop: Environment) -> bytes:
    """The flags of an environment."""
    held = made.environments.by_client_key[EnvironmentKey(shop.key)].held
    assert held is not None
    return held.flags(False).body


@pytest.mark.django_db
def test_host__before_the_start__any_key_is_one_of_a_drop_in_server() -> None:
    before, key = host.RelayHost(), EnvironmentKey("shop")

    assert before.accept_posted({key: START}) == [EnvironmentState(key, START, True)]
    assert before.states([key]) == {key: EnvironmentState(key, START, True)}


async def test_start__redis_is_away__serves_the_upstreams_documents(
    start: Start, shop: Environment, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EVENTSTREAM_REDIS = redis_urls.arguments(f"redis://127.0.0.1:{ports.free_port()}/0")
    settings.REALTIME_STORE = "redis"
    made = await start(shop)

    assert b"banner" in banner(made, shop)
    for event in ("relay_storage_unavailable", "posted_versions_unreadable"):
        assert sum(event in line for line in caplog.messages) == 1


@pytest.mark.django_db(transaction=True)
async def test_reload__keys_and_another_setting__streams_of_the_keys_and_one_log_line(
    start: Start,
    write: Callable[..., None],
    upstream: Upstream,
    shop: Environment,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("UPSTREAM_REALTIME_URL", upstream.url)
    blog = upstream.add_environment("blog")
    await start(shop)
    await eventually(lambda: upstream.open_streams(shop.key) == 1)
    write(blog, allow_origins=["https://www.example.com"])

    await eventually(lambda: upstream.open_streams(blog.key) == 1)
    await eventually(lambda: [upstream.send(shop.key, b":\n\n")] and upstream.open_streams(shop.key) == 0)
    (line,) = [line for line in caplog.messages if "configuration_needs_restart" in line]
    assert "allow_origins" in line


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failure", [404, b"event: environment_updated\ndata: " + b"[" * 100_000 + b"\n\n"])
async def test_upstreams_stream__fails__logged_once_and_connected_again(
    start: Start,
    upstream: Upstream,
    shop: Environment,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: int | bytes,
) -> None:
    monkeypatch.setenv("UPSTREAM_REALTIME_URL", upstream.url)
    monkeypatch.setattr(upstream_streams, "RECONNECT_SECONDS", 0.02)
    if isinstance(failure, int):
        upstream.stream_status = failure
    made = await start(shop)
    if isinstance(failure, bytes):
        await eventually(lambda: upstream.open_streams(shop.key) == 1)
        upstream.send(shop.key, failure)
    await eventually(lambda: "upstream_stream_failed" in caplog.text)
    upstream.stream_status = 200
    shop.change(banner=(True, "changed"))

    # Sent until the next stream is open.
    await eventually(lambda: [upstream.publish(shop)] and b"changed" in banner(made, shop))
    assert sum("upstream_stream_failed" in line for line in caplog.messages) == 1
