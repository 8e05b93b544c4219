"""A server, and a tenant with flags of every kind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.ofrep import protocol
from tests.support.api import AdminAPI, Tenant, text
from tests.support.patience import PATIENCE
from tests.support.server import MigratedSQLite, ServerProcess

ADA = {"targetingKey": "ada", "plan": "pro"}
BOB = {"targetingKey": "bob", "plan": "free"}


@dataclass
class Client:
    """A provider: it sends evaluation requests, and checks that the protocol has the answers."""

    url: str
    key: str
    headers: dict[str, str] = field(default_factory=dict)
    by_django: bool = False
    """Send chunked bodies, which the fast path passes to Django."""

    def send(self, body: Any, flag: str = "", **headers: str) -> requests.Response:
        """Send a body: bytes, or an object as JSON."""
        content = body if isinstance(body, bytes) else requests.models.complexjson.dumps(body).encode()
        own = {"X-API-Key": self.key} if self.key else {}
        answer = requests.post(
            f"{self.url}/ofrep/v1/evaluate/flags{'/' if flag else ''}{flag}",
            data=iter([content]) if self.by_django else content,
            headers={"Content-Type": "application/json", **own, **self.headers, **headers},
            timeout=PATIENCE,
        )
        protocol.check(answer)
        return answer

    def all(self, context: dict[str, Any] = ADA, **headers: str) -> requests.Response:
        return self.send({"context": context}, **headers)

    def flags(self, context: dict[str, Any] = ADA) -> dict[str, dict[str, Any]]:
        """All evaluations, by key."""
        return {flag["key"]: flag for flag in self.all(context).json()["flags"]}


@pytest.fixture(scope="module")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp("ofrep"))
    variables |= {"REALTIME_KEEPALIVE_SECONDS": "0.5", "REALTIME_REPEAT_SECONDS": "0"}
    with ServerProcess(variables) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> AdminAPI:
    return AdminAPI.registered(server.url)


@pytest.fixture(scope="module")
def tenant(api: AdminAPI) -> Tenant:
    """A tenant whose flags are not changed by any test."""
    return with_flags(Tenant.create(api))


@pytest.fixture
def fresh_tenant(api: AdminAPI) -> Tenant:
    return Tenant.create(api)


def with_flags(tenant: Tenant) -> Tenant:
    tenant.add_feature("on", default_enabled=True)
    tenant.add_feature("off")
    tenant.add_feature("text", initial_value="red", default_enabled=True)
    tenant.add_feature("text-off", initial_value="red")
    tenant.add_feature("json", initial_value='{"a": 1}', default_enabled=True)
    for name, value in (("number", 42), ("boolean", False)):
        tenant.change(tenant.add_feature(name, default_enabled=True)["id"], feature_state_value=value)
    options = [
        {"type": "unicode", "string_value": "first", "default_percentage_allocation": 100},
        {"type": "unicode", "string_value": "second", "default_percentage_allocation": 0},
    ]
    split = tenant.add_feature(
        "split", type="MULTIVARIATE", initial_value="none", default_enabled=True, multivariate_options=options
    )
    path = f"projects/{tenant.project}/features/{split['id']}/mv-options/{split['multivariate_options'][0]['id']}/"
    # A Flagsmith fails at a PATCH without all fields.
    tenant.api.put(path, feature=split["id"], key="variant-a", **options[0])
    tenant.add_feature("secret", default_enabled=True, is_server_key_only=True)
    segment = tenant.add_segment("pro", plan="pro")["id"]
    banner = tenant.add_feature("banner", initial_value="plain", default_enabled=True)["id"]
    tenant.override(banner, segment, feature_state_value=text("for pros"))
    return tenant


@pytest.fixture
def client(tenant: Tenant) -> Client:
    return Client(tenant.api.url, tenant.environment.key)


@pytest.fixture
def clients_of() -> Callable[[Tenant], list[Client]]:
    """A function that returns a client of the fast path and one of Django."""
    return lambda tenant: [Client(tenant.api.url, tenant.environment.key, by_django=each) for each in (False, True)]
