"""What ``manage.py check`` says of a bus that cannot be."""

import pytest
from django.core.checks import CheckMessage, run_checks

from realtime import bus
from tests.bus.conftest import Settings


def said() -> list[CheckMessage]:
    return [message for message in run_checks() if (message.id or "").startswith("realtime.")]


@pytest.mark.parametrize(
    ("bus", "problem"),
    [("pigeon", "unknown"), ("redis", "needs a Redis"), ("postgres", "needs PostgreSQL")],
)
def test_checks__bus_that_cannot_be__is_named_with_what_it_needs(settings: Settings, bus: str, problem: str) -> None:
    settings.REALTIME_BUS = bus
    (message,) = said()
    assert message.id == "realtime.E008"
    assert repr(bus) in message.msg
    assert problem in message.msg


def test_health__bus_that_cannot_be_made__is_not_connected(settings: Settings) -> None:
    settings.REALTIME_BUS = "pigeons"
    health = bus.health()
    assert (health.name, health.connected) == ("pigeons", False)
    assert "pigeons" in health.last_error


def test_checks__redis_with_its_setting__is_fine(settings: Settings) -> None:
    settings.REALTIME_BUS, settings.EVENTSTREAM_REDIS = "redis", {}
    assert said() == []
