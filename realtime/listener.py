"""The end of every bus: django-eventstream's listener manager, which each process has."""

import asyncio
from collections.abc import Callable

from django_eventstream.event import Event
from django_eventstream.views import Listener, get_listener_manager

from realtime.events import channel
from realtime.types import EnvironmentKey

Receive = Callable[[list[Event], bool], None]


class EnvironmentListener(Listener):  # type: ignore[misc]
    """Brings one environment's events from whichever thread sent them into the event loop.

    ``receive(events, overflow)`` is called in the loop. django-eventstream keeps ten events for a listener and then
    drops the *newest*; ``overflow`` says that it did, so that the state has to be read again.
    """

    def __init__(self, key: EnvironmentKey, receive: Receive) -> None:
        super().__init__()
        self.channels = {channel(key)}
        self.channel_items: dict[str, list[Event]] = {}
        self.overflow = False
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._receive = receive

    def wake_threadsafe(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._collect)
        except RuntimeError:
            # The loop was closed under its streams. The others must hear it all the same, and this one no more:
            # ``stop`` would wait for the manager's lock, which is held here.
            for name in self.channels:
                get_listener_manager().listeners_by_channel[name].discard(self)

    def start(self) -> None:
        get_listener_manager().add_listener(self)

    def stop(self) -> None:
        get_listener_manager().remove_listener(self)

    def _collect(self) -> None:
        with get_listener_manager().lock:
            queued, self.channel_items = self.channel_items, {}
            overflow, self.overflow = self.overflow, False
        events = [event for items in queued.values() for event in items]
        if events or overflow:
            self._receive(events, overflow)
