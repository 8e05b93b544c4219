from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from app_analytics import days, usage
from app_analytics import meter as metering
from app_analytics.meter import Meter
from realtime import workers
from tests.support.patience import PATIENCE

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
TODAY = NOON.date()


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the time at noon of the current day, so that no test runs across midnight."""
    monkeypatch.setattr(days, "time", SimpleNamespace(time=NOON.timestamp))
    monkeypatch.setattr(usage, "timezone", SimpleNamespace(now=lambda: NOON))


@pytest.fixture
def meter(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    """A new meter for this process. It writes only when the test calls it."""
    settings.ENABLE_API_USAGE_TRACKING = True
    settings.API_USAGE_CACHE_SECONDS = 3_600
    # On a busy machine the thread may take long to stop.
    monkeypatch.setattr(workers, "STOP_SECONDS", 2 * PATIENCE)
    monkeypatch.setattr(metering, "END_SECONDS", PATIENCE)
    meter = Meter()
    monkeypatch.setattr(metering, "meter", meter)
    yield meter
    # The meter's thread would write remaining counts, and wait for the test's transaction.
    meter.counters.take()
    meter.thread.stop()
