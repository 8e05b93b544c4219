from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from environments.models import Environment
from realtime.delivery import hub
from tests.realtime import clock
from tests.realtime.clock import DAY
from tests.support.events import Recorder, recorded_events


def pytest_asyncio_loop_factories(item: Any) -> Any:
    """The event loops of this folder's tests. A module sets ``LOOPS`` to run its tests on several."""
    return getattr(item.module, "LOOPS", {"asyncio": clock.AsyncioLoop})


@pytest.fixture
def long_periods(settings: Settings) -> Settings:
    """Settings with periods so long that nothing happens by time, unless the test sets them."""
    settings.REALTIME_STREAM_SECONDS = settings.REALTIME_KEEPALIVE_SECONDS = DAY
    settings.REALTIME_RECONCILE_SECONDS = DAY
    settings.REALTIME_REPEAT_SECONDS = 0
    return settings


@pytest.fixture
async def streams(long_periods: Settings, closed_runtime: None) -> hub.Hub:
    """The loop's hub. A shorter reconcile interval takes effect after ``reconcile_now``."""
    return hub.current()


@pytest.fixture
def recorded(environment: Environment, production: Environment) -> Iterator[Recorder]:
    """Records the events published for the project's two environments."""
    with recorded_events(environment, production) as recorded:
        yield recorded
