"""Changes that must not cause an event. A change that causes one follows, and its event must be the next one."""

from collections.abc import Callable

import pytest
import requests

from tests.e2e.changes import FEATURE
from tests.support import sse
from tests.support.api import TIMEOUT, Tenant

pytestmark = pytest.mark.e2e


def sdk_post(tenant: Tenant, path: str, **body: object) -> None:
    headers = {"X-Environment-Key": tenant.environment.key}
    response = requests.post(f"{tenant.api.url}/api/v1/{path}", json=body, headers=headers, timeout=TIMEOUT)
    response.raise_for_status()


def new_identity(tenant: Tenant) -> str:
    path = f"environments/{tenant.environment.key}/identities/"
    return f"{path}{tenant.api.post(path, identifier='ada')['id']}/"


def identify_with_traits(tenant: Tenant, feature: int) -> None:
    sdk_post(tenant, "identities/", identifier="ada", traits=[{"trait_key": "plan", "trait_value": "pro"}])


def set_trait(tenant: Tenant, feature: int) -> None:
    sdk_post(tenant, "traits/", identity={"identifier": "ada"}, trait_key="plan", trait_value="pro")


def set_trait_as_admin(tenant: Tenant, feature: int) -> None:
    tenant.api.post(f"{new_identity(tenant)}traits/", trait_key="plan", value_type="unicode", string_value="pro")


def override_for_an_identity(tenant: Tenant, feature: int) -> None:
    path = f"{new_identity(tenant)}featurestates/"
    override = tenant.api.post(path, feature=feature, enabled=True, feature_state_value="hers")
    tenant.api.put(f"{path}{override['id']}/", enabled=False, feature_state_value="hers")
    tenant.api.delete(f"{path}{override['id']}/")


def rejected_value(tenant: Tenant, feature: int) -> None:
    state = tenant.state(feature)
    path = f"environments/{tenant.environment.key}/featurestates/{state['id']}/"
    assert tenant.api.response("PUT", path, {"enabled": True, "feature_state_value": {"a": 1}}).status_code == 400


def rejected_feature(tenant: Tenant, feature: int) -> None:
    path = f"projects/{tenant.project}/features/"
    assert tenant.api.response("POST", path, {"name": FEATURE}).status_code == 400


def same_state_again(tenant: Tenant, feature: int) -> None:
    tenant.change(feature, enabled=False, feature_state_value="old")


def another_environment(tenant: Tenant, feature: int) -> None:
    tenant.change(feature, tenant.environments[1], enabled=True)


@pytest.mark.parametrize(
    "act",
    [
        identify_with_traits,
        set_trait,
        set_trait_as_admin,
        override_for_an_identity,
        rejected_value,
        rejected_feature,
        same_state_again,
        another_environment,
    ],
)
def test_stream__change_without_effect_on_sdks__no_event(act: Callable[[Tenant, int], None], tenant: Tenant) -> None:
    tenant.add_environment("Production")
    feature = tenant.add_feature(FEATURE, initial_value="old")["id"]
    before = tenant.version()
    with sse.connect(int(tenant.api.url.rsplit(":", 1)[1]), tenant.environment.key) as stream:
        assert stream.next_event().updated_at == before

        act(tenant, feature)

        assert tenant.version() == before
        tenant.change(feature, enabled=True)
        assert stream.event_after(before).updated_at == tenant.version()
