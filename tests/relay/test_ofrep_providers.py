"""OpenFeature's own providers with a relay: in a page of another origin, with streams only; and in Python."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.ofrep_providers import (
    RESTARTS,
    UNAUTHORIZED,
    WITHOUT_TARGETING_KEY,
    Evaluate,
    evaluate_in_node,
    evaluate_in_python,
    provider_page,
    repeated,
)
from tests.support.chromium import chromium
from tests.support.relay import RelayServer
from tests.support.upstream import Environment, state

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CHANGES = 10

EVALUATIONS: list[tuple[str, Any]] = [
    ("plain", "default"),
    ("banner", "default"),
    ("colour", "default"),
    ("layout", "default"),
    ("missing", "default"),
    ("plain", False),
]
EXPECTED: list[tuple[Any, str, str | None]] = [
    ("old", "STATIC", None),
    ("for ada", "TARGETING_MATCH", None),
    ("gold", "TARGETING_MATCH", None),
    ("wide", "SPLIT", None),
    ("default", "ERROR", "FLAG_NOT_FOUND"),
    (False, "ERROR", "TYPE_MISMATCH"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def relay(start_relay: Callable[..., RelayServer], shop: Environment) -> RelayServer:
    shop.update(feature_states=[*shop.document["feature_states"], state(5, "plain", True, "old")])
    # No event is repeated, so that the page's evaluations can be counted.
    return start_relay(shop, REALTIME_REPEAT_SECONDS="0")


def change(relay: RelayServer, shop: Environment, value: str) -> None:
    shop.change(plain=(True, value))
    assert relay.post(shop) == 202


def test_web_provider__changes__one_evaluation_each_and_none_while_the_switch_is_off(
    relay: RelayServer, shop: Environment, browser: Browser
) -> None:
    with provider_page(browser, relay.url, shop.key) as provider:
        assert [provider.details(name, default) for name, default in EVALUATIONS] == EXPECTED
        for number in range(CHANGES):
            change(relay, shop, f"new {number}")
            provider.wait_for("plain", f"new {number}")
        assert len(provider.evaluations) == 2 + CHANGES

        shop.update(project__enable_realtime_updates=False)
        change(relay, shop, "silent")
        relay.process.wait_until(lambda: relay.flags(shop)["plain"] == (True, "silent"))
        shop.update(project__enable_realtime_updates=True)
        change(relay, shop, "last")
        provider.wait_for("plain", "last")
        assert len(provider.evaluations) == 2 + CHANGES + 1
        assert provider.errors == []


def test_web_provider__relay_is_killed_and_restarts_during_changes__ends_on_the_newest_state(
    relay: RelayServer, shop: Environment, browser: Browser
) -> None:
    with provider_page(browser, relay.url, shop.key) as provider:
        with repeated(lambda number: change(relay, shop, f"new {number}")):
            for _ in range(RESTARTS):
                relay.process.kill()
                relay.start()
        relay.process.kill()
        shop.change(plain=(True, "meanwhile"))
        relay.start()

        provider.wait_for("plain", "meanwhile")
        change(relay, shop, "last")
        provider.wait_for("plain", "last")


@pytest.mark.parametrize("evaluate", [evaluate_in_python, evaluate_in_node])
def test_provider_for_servers__flags_of_every_kind__values_reasons_and_errors(
    evaluate: Evaluate, relay: RelayServer, shop: Environment
) -> None:
    results = evaluate(relay.url, shop.server_key, EVALUATIONS)

    assert results == [*EXPECTED, UNAUTHORIZED, WITHOUT_TARGETING_KEY]
