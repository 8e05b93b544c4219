"""System checks and health of a bus that is misconfigured."""

import pytest
from django.core.checks import CheckMessage, run_checks

from realtime import bus
from tests.bus.conftest import Settings


def messages() -> list[CheckMessage]:
    return [message for message in run_checks() if (message.id or "").startswith("realtime.")]


@pytest.mark.parametrize(
    ("bus", "problem"),
    [("pigeon", "unknown"), ("redis", "needs a Redis"), ("postgres", "needs PostgreSQL")],
)
def test_checks__misconfigured_bus__error_names_it_and_its_requirement(
    settings: Settings, bus: str, problem: str
) -> None:
    settings.REALTIME_BUS = bus
    (message,) = messages()
    assert message.id == "realtime.E008"
    assert repr(bus) in message.msg
    assert problem in message.msg


def test_health__unknown_bus__reported_as_not_connected(settings: Settings) -> None:
    settings.REALTIME_BUS = "pigeons"
    health = bus.health()
    assert (health.name, health.connected) == ("pigeons", False)
    assert "pigeons" in health.last_error


def test_checks__redis_with_eventstream_redis__no_message(settings: Settings) -> None:
    settings.REALTIME_BUS, settings.EVENTSTREAM_REDIS = "redis", {}
    assert messages() == []
