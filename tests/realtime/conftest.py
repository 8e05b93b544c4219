from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pytest_django import Settings

from environments.models import Environment
from realtime.delivery import hub
from tests.realtime import clock
from tests.realtime.clock import DAY
from tests.support.heard import Heard, listening


def pytest_asyncio_loop_factories(item: Any) -> Any:
    """Loops whose time can jump. Files whose tests run on each kind have them as ``LOOPS``."""
    return getattr(item.module, "LOOPS", {"asyncio": clock.AsyncioLoop})


@pytest.fixture
def timeless(settings: Settings) -> Settings:
    """Nothing happens by time alone, however slow the machine is, but what a test's own settings say."""
    settings.REALTIME_STREAM_SECONDS = settings.REALTIME_KEEPALIVE_SECONDS = DAY
    settings.REALTIME_RECONCILE_SECONDS = DAY
    settings.REALTIME_REPEAT_SECONDS = 0
    return settings


@pytest.fixture
async def streams(timeless: Settings) -> AsyncIterator[hub.Hub]:
    """The loop's hub, closed again at the end. Its reconcile waits until ``look`` for what a test sets."""
    yield hub.current()
    await hub.current().close()


@pytest.fixture
def heard(environment: Environment, production: Environment) -> Iterator[Heard]:
    """What is published of the project's two environments, from now on."""
    with listening(environment, production) as heard:
        yield heard
