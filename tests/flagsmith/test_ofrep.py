"""OpenFeature's own providers at a relay in front of an unmodified Flagsmith."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.ofrep_providers import (
    EVALUATIONS,
    EXPECTED,
    FOR_SERVERS,
    SWITCH,
    TOGGLES,
    Details,
    Evaluate,
    ProviderPage,
    provider_page,
    switch_of,
)
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.monolith import Tasks
from tests.flagsmith.relayed import Relayed
from tests.ofrep.conftest import with_flags
from tests.support.api import Tenant
from tests.support.chromium import chromium

SILENCE_SECONDS = 0.5

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(1_800)]


@pytest.fixture(scope="module", params=[Tasks.PROCESSOR, Tasks.THREADS], ids=lambda tasks: tasks.value.lower())
def relayed(
    request: pytest.FixtureRequest, checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relayed]:
    # No event is repeated, so that the page's evaluations can be counted.
    with Relayed(checkout, request.param, tmp_path_factory.mktemp("ofrep"), REALTIME_REPEAT_SECONDS="0") as both:
        yield both


@pytest.fixture
def tenant(relayed: Relayed) -> Tenant:
    tenant = with_flags(relayed.tenant())
    relayed.flagsmith.settle()
    relayed.wait_for_document(tenant)
    return tenant


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def provider(browser: Browser, relayed: Relayed, tenant: Tenant) -> Iterator[ProviderPage]:
    with provider_page(browser, relayed.relay.url, tenant.environment.key) as page:
        yield page


def test_web_provider__changes_by_an_admin__one_evaluation_each(provider: ProviderPage, tenant: Tenant) -> None:
    assert [provider.details(name, default) for name, default in EVALUATIONS] == EXPECTED

    print(provider.toggle(switch_of(tenant)))

    # The first evaluation, that for the event on connect, and one for each change.
    assert len(provider.evaluations) == 2 + TOGGLES
    assert provider.errors == []


def test_web_provider__real_time_turned_off__no_event_until_it_is_on(
    provider: ProviderPage, tenant: Tenant, relayed: Relayed
) -> None:
    project, switch = f"projects/{tenant.project}/", switch_of(tenant)

    tenant.api.patch(project, enable_realtime_updates=False)
    switch(True)
    relayed.flagsmith.settle()
    # Flagsmith posts nothing, and an absent event cannot be awaited.
    provider.page.wait_for_timeout(1000 * SILENCE_SECONDS)
    assert len(provider.evaluations) == 2
    tenant.api.patch(project, enable_realtime_updates=True)
    switch(False)
    switch(True)

    provider.wait_for(SWITCH, True)
    assert provider.errors == []


def test_web_provider__relay_is_killed_and_restarts__ends_on_the_newest_state(
    provider: ProviderPage, tenant: Tenant, relayed: Relayed
) -> None:
    switch = switch_of(tenant)
    relayed.relay.process.kill()
    switch(True)
    relayed.flagsmith.settle()
    relayed.relay.start()

    provider.wait_for(SWITCH, True)
    switch(False)
    provider.wait_for(SWITCH, False)


@pytest.mark.parametrize(("evaluate", "expected"), FOR_SERVERS)
def test_provider_for_servers__flags_of_every_kind__values_reasons_and_errors(
    evaluate: Evaluate, expected: list[Details], tenant: Tenant, relayed: Relayed
) -> None:
    assert evaluate(relayed.relay.url, tenant.environment.server_key, EVALUATIONS) == expected
