"""OFREP's endpoints against the protocol's description, by schemathesis."""

import pytest

from tests.ofrep import protocol
from tests.support.api import Tenant


@pytest.mark.slow
def test_any_request__valid_or_not__answer_of_the_protocol(tenant: Tenant) -> None:
    for key in (tenant.environment.key, tenant.environment.server_key):
        statuses = protocol.explore(tenant.api.url, key)
        print(statuses)
        assert {200, 400, 404} <= set(statuses)
