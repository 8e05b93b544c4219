"""Remote and local evaluation agree: the flags of ``identities/`` equal those that the official Python SDK computes
from the environment document."""

from typing import Any

import pytest
from django.db import transaction
from flagsmith import Flagsmith
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from environments.models import Environment, EnvironmentAPIKey
from tests.sdk import generated

pytestmark = pytest.mark.slow

Flags = dict[str, tuple[bool, Any]]


class DocumentHandler:
    """An offline handler of the SDK that returns this document."""

    def __init__(self, document: Any) -> None:
        self.document = document

    def get_environment(self) -> Any:
        return self.document


def server_client(environment: Environment) -> APIClient:
    key = EnvironmentAPIKey.objects.create(environment=environment, name="test")
    return APIClient(headers={"X-Environment-Key": key.key})


def local_sdk(client: APIClient) -> Flagsmith:
    document = client.get("/api/v1/environment-document/").json()
    return Flagsmith(offline_mode=True, offline_handler=DocumentHandler(document))


def of_sdk(flags: Any) -> Flags:
    return {flag.feature_name: (flag.enabled, flag.value) for flag in flags.all_flags()}


def of_api(response: Any) -> Flags:
    return {flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in response}


# SDKs always use the composite key for hashing.
SPECS = generated.environments(
    use_identity_composite_key_for_hashing=st.just(True), name=st.sampled_from(("pro", "12"))
)


@pytest.mark.django_db
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(spec=SPECS, identities=st.lists(generated.IDENTITIES, min_size=1, max_size=5), transient=st.booleans())
def test_flags__any_environment_and_identity__as_the_sdk_computes_them(
    spec: generated.EnvironmentSpec, identities: list[tuple[str, dict[str, Any]]], transient: bool, db: None
) -> None:
    with transaction.atomic():
        client = server_client(generated.store(spec))
        sdk = local_sdk(client)
        assert of_api(client.get("/api/v1/flags/").json()) == of_sdk(sdk.get_environment_flags())
        # Each identifier once, because the stored traits would be used the second time.
        for identifier, traits in dict(identities).items():
            body = {
                "identifier": identifier,
                "transient": transient,
                "traits": [{"trait_key": key, "trait_value": value} for key, value in traits.items()],
            }
            response = client.post("/api/v1/identities/", body, format="json")
            assert response.status_code == 200
            assert of_api(response.json()["flags"]) == of_sdk(sdk.get_identity_flags(identifier, traits))
        transaction.set_rollback(True)
