"""OpenFeature's own providers: in a page of another origin, with streams and without polling; in Python and Node."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.ofrep_providers import (
    EVALUATIONS,
    EXPECTED,
    FOR_SERVERS,
    RESTARTS,
    SWITCH,
    TOGGLES,
    Details,
    Evaluate,
    ProviderPage,
    provider_page,
    repeated,
    switch_of,
)
from tests.ofrep.conftest import with_flags
from tests.support.api import AdminAPI, Tenant
from tests.support.chromium import chromium
from tests.support.server import MigratedSQLite, ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp("providers"))
    # No event is repeated, so that the page's evaluations can be counted.
    with ServerProcess(variables | {"REALTIME_REPEAT_SECONDS": "0"}) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> AdminAPI:
    return AdminAPI.registered(server.url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def provider(browser: Browser, tenant: Tenant) -> Iterator[ProviderPage]:
    with_flags(tenant)
    with provider_page(browser, tenant.api.url, tenant.environment.key) as page:
        yield page


def test_web_provider__changes_by_an_admin__one_evaluation_each(provider: ProviderPage, tenant: Tenant) -> None:
    assert [provider.details(name, default) for name, default in EVALUATIONS] == EXPECTED

    print(provider.toggle(switch_of(tenant)))

    # The first evaluation, that for the event on connect, and one for each change.
    assert len(provider.evaluations) == 2 + TOGGLES
    assert "flagConfigEtag=" in provider.evaluations[-1].url
    assert provider.errors == []


def test_web_provider__context_changes__evaluated_for_it(provider: ProviderPage) -> None:
    provider.page.evaluate("() => window.setContext({ targetingKey: 'bob' })")
    assert provider.details("banner", "default") == ("plain", "STATIC", None)


def test_web_provider__real_time_turned_off__no_event_until_it_is_on(provider: ProviderPage, tenant: Tenant) -> None:
    project, switch = f"projects/{tenant.project}/", switch_of(tenant)

    tenant.api.patch(project, enable_realtime_updates=False)
    switch(True)
    tenant.api.patch(project, enable_realtime_updates=True)

    provider.wait_for(SWITCH, True)
    # Only the event of the gate's opening caused one.
    assert len(provider.evaluations) == 3
    assert provider.errors == []


def test_web_provider__server_is_killed_and_restarts_during_changes__ends_on_the_newest_state(
    provider: ProviderPage, tenant: Tenant, server: ServerProcess
) -> None:
    switch = switch_of(tenant)
    with repeated(lambda number: switch(number % 2 == 0)):
        for _ in range(RESTARTS):
            server.process.kill()
            server.start()

    newest, _ = tenant.flags()[SWITCH]
    provider.wait_for(SWITCH, newest)
    switch(not newest)
    provider.wait_for(SWITCH, not newest)


@pytest.mark.parametrize(("evaluate", "expected"), FOR_SERVERS)
def test_provider_for_servers__flags_of_every_kind__values_reasons_and_errors(
    evaluate: Evaluate, expected: list[Details], tenant: Tenant
) -> None:
    with_flags(tenant)
    assert evaluate(tenant.api.url, tenant.environment.server_key, EVALUATIONS) == expected
