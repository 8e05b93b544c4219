"""Contracts of django-eventstream's parts that ``realtime/compat/django_eventstream.py`` uses."""

import json
from typing import Any

import pytest
from django_eventstream import eventstream, send_event
from django_eventstream.event import Event
from django_eventstream.utils import publish_event
from django_eventstream.views import MAX_PENDING, Listener, ListenerManager, get_listener_manager

from tests.compat.parts import parameters

FUNCTIONS = {
    Event: ["channel", "type", "data", "id"],
    send_event: ["channel", "event_type", "data", "skip_user_ids", "async_publish", "json_encode"],
    publish_event: ["channel", "event_type", "data", "pub_id", "pub_prev_id", "skip_user_ids", "publish_kwargs"],
    ListenerManager.add_listener: ["listener"],
    ListenerManager.remove_listener: ["listener"],
    ListenerManager.add_to_queues: ["channel", "event"],
    Listener.wake_threadsafe: [],
}


class Recorder(Listener):
    def __init__(self) -> None:
        super().__init__()
        self.channels = {"one"}
        self.woken = 0

    def wake_threadsafe(self) -> None:
        assert get_listener_manager().lock.locked()
        self.woken += 1


class RedisClient:
    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []

    def publish(self, channel: str, message: str) -> None:
        self.published.append((channel, message))


@pytest.fixture
async def listener() -> Any:
    recorder = Recorder()
    get_listener_manager().add_listener(recorder)
    yield recorder
    get_listener_manager().remove_listener(recorder)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_function__is_there__with_these_parameters(function: Any) -> None:
    assert parameters(function) == FUNCTIONS[function]


def test_manager__listeners_by_channel__has_the_listener(listener: Recorder) -> None:
    assert get_listener_manager().listeners_by_channel["one"] == {listener}


def test_manager__event__is_queued_and_the_listener_woken(listener: Recorder) -> None:
    event = Event("one", "a type", "data")
    get_listener_manager().add_to_queues("one", event)
    assert (listener.channel_items, listener.overflow, listener.woken) == ({"one": [event]}, False, 1)


def test_manager__full_queue__overflow_is_set(listener: Recorder) -> None:
    for _ in range(MAX_PENDING + 1):
        get_listener_manager().add_to_queues("one", Event("one", "a type", "data"))
    assert listener.overflow


def test_manager__redis_listener__is_an_attribute_that_add_listener_reads() -> None:
    assert get_listener_manager().redis_listener is None


def test_send_event__redis_client__publishes_this_message(monkeypatch: pytest.MonkeyPatch, listener: Recorder) -> None:
    client = RedisClient()
    monkeypatch.setattr(eventstream, "redis_client", client)
    send_event("one", "a type", "data", json_encode=False)
    ((channel, message),) = client.published
    assert channel == "events_channel"
    assert json.loads(message) == {"channel": "one", "event_type": "a type", "data": "data", "pub_id": None}
    assert not listener.woken


def test_grip__clients__have_a_session_whose_request_takes_a_timeout(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import django_grip

    settings.GRIP_URL = "http://127.0.0.1:1/"
    monkeypatch.setattr(django_grip, "_pubcontrol", None)
    (client,) = django_grip.get_pubcontrol().clients
    assert "timeout" in parameters(client.requests_session.request)


def test_grip__channel__has_this_name(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[str] = []
    monkeypatch.setattr("django_grip.publish", lambda channel, *arguments, **options: published.append(channel))
    publish_event("a channel", "a type", "data", None, None)
    assert published == ["events-a%20channel"]
