from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from app_analytics import days, usage
from app_analytics import meter as metering
from app_analytics.meter import Meter
from core import threads
from tests.support.patience import PATIENCE

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
TODAY = NOON.date()


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noon in this process, of the day on which the tests began: no midnight comes between two steps of one."""
    monkeypatch.setattr(days, "time", SimpleNamespace(time=NOON.timestamp))
    monkeypatch.setattr(usage, "timezone", SimpleNamespace(now=lambda: NOON))


@pytest.fixture
def meter(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    """This process's meter, a new one; it writes when the test says so."""
    settings.ENABLE_API_USAGE_TRACKING = True
    settings.API_USAGE_CACHE_SECONDS = 3_600
    # Who stops its thread waits for it, however long it takes.
    monkeypatch.setattr(threads, "STOP_TIMEOUT_SECONDS", 2 * PATIENCE)
    monkeypatch.setattr(metering, "END_SECONDS", PATIENCE)
    meter = Meter()
    monkeypatch.setattr(metering, "meter", meter)
    yield meter
    # What is left would be written by another thread, which waits for the test's transaction.
    meter.tally.take()
    meter.thread.stop()
