from collections.abc import Iterator
from typing import Any

import pytest

from app_analytics import meter as metering
from app_analytics.meter import Meter


@pytest.fixture
def meter(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    """This process's meter, a new one; it writes when the test says so."""
    settings.ENABLE_API_USAGE_TRACKING = True
    settings.API_USAGE_CACHE_SECONDS = 3_600
    meter = Meter()
    monkeypatch.setattr(metering, "meter", meter)
    yield meter
    # What is left would be written by another thread, which waits for the test's transaction.
    meter.tally.take()
    meter.thread.stop()
