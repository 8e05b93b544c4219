"""Metrics of a relay: those on the documentation's page, and only these."""

import re
from collections.abc import Callable

import pytest

from tests.metrics import scraped
from tests.metrics.scraped import TOKEN
from tests.support import programs
from tests.support.relay import RelayServer
from tests.support.upstream import Environment

PAGE = programs.ROOT / "docs/metrics.md"
SOURCES = programs.ROOT / "realtime/relay"


@pytest.mark.slow
def test_page__metrics__same_as_in_a_scrape(start_relay: Callable[..., RelayServer], shop: Environment) -> None:
    relay = start_relay(shop, REALTIME_METRICS_TOKEN=TOKEN)
    families = scraped.scrape(relay.port).families

    found = {family for family in families if family.startswith("realtime_relay_")}
    named = set(re.findall(r"`(realtime_relay_\w+?)(?:_total)?`", PAGE.read_text()))
    assert named == found != set()


def test_page__events_in_the_log__all_are_named() -> None:
    page = PAGE.read_text()
    sources = [path.read_text() for path in SOURCES.glob("*.py")]
    warnings = {
        name
        for source in sources
        for name in re.findall(r'(?:logger\.(?:warning|error)\(\s*|FailureLog\(logger, )"(\w+)"', source)
    }
    for source in sources:
        for event in re.findall(r'f"\{(?:self\._)?kind\}_(\w+)"', source):
            warnings |= {f"{kind}_{event}" for kind in ("usage", "traits")}

    assert {"usage_rejected", "traits_dropped"} < warnings
    assert {name for name in warnings if f"`{name}`" not in page} == set()
