"""Storage limits of SDKs: traits of an identity and of a request, and bytes of a client-side key in a time window."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureState
from segments.models import Segment
from tests.sdk.conftest import application
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db, pytest.mark.database]

IDENTITIES = "/api/v1/identities/"
ONE = "/api/v1/traits/"
BULK = "/api/v1/traits/bulk/"

FULL = {"trait_key": ["The identity has the maximum allowed number of traits: 3."]}


def traits(**values: Any) -> list[dict[str, Any]]:
    return [{"trait_key": key, "trait_value": value} for key, value in values.items()]


def trait(value: Any, key: str, identifier: str = "ada") -> dict[str, Any]:
    return {"identity": {"identifier": identifier}, "trait_key": key, "trait_value": value}


def stored(identifier: str = "ada") -> dict[str, Any]:
    return {row.trait_key: row.trait_value for row in Trait.objects.filter(identity__identifier=identifier)}


def traits_in(response: Any) -> dict[str, Any]:
    """The traits in a response of ``identities/``."""
    assert response.status_code == 200, response.json()
    return {each["trait_key"]: each["trait_value"] for each in response.json()["traits"]}


@pytest.fixture
def is_professional(feature: Feature, segment: Segment, override: Callable[..., FeatureState]) -> Callable[[Any], bool]:
    """A function that returns whether a response of ``identities/`` was evaluated with ``plan: pro``."""
    override(feature, "for professionals", segment)
    return lambda response: response.json()["flags"][0]["feature_state_value"] == "for professionals"


class TestTraitsOfAnIdentity:
    @pytest.fixture(autouse=True)
    def limit(self, settings: Settings) -> None:
        settings.MAX_TRAITS_PER_IDENTITY = 3

    @pytest.fixture
    def full(self, environment: Environment) -> Identity:
        identity = environment.identities.create(identifier="ada")
        for key in "abc":
            Trait.objects.create(identity=identity, trait_key=key, string_value="old")
        return identity

    def test_identities__more_traits_in_one_request__400_and_nothing_stored(self, sdk: APIClient) -> None:
        for transient in (False, True):
            items = [{**item, "transient": transient} for item in traits(a=1, b=2, c=3, d=4)]
            response = sdk.post(IDENTITIES, {"identifier": "ada", "traits": items})
            assert response.status_code == 400
            assert response.json() == {
                "traits": {"non_field_errors": ["Ensure this field has no more than 3 elements."]}
            }
        assert not Identity.objects.exists()
        assert traits_in(sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(a=1, b=2, c=3)})) == stored()
        assert len(stored()) == 3

    def test_identities__trait_over_the_limit__used_and_not_stored(
        self, sdk: APIClient, full: Identity, is_professional: Callable[[Any], bool]
    ) -> None:
        response = sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(a="new", plan="pro")})

        assert traits_in(response) == {"a": "new", "b": "old", "c": "old", "plan": "pro"}
        assert is_professional(response)
        assert stored() == {"a": "new", "b": "old", "c": "old"}
        assert not is_professional(sdk.get(f"{IDENTITIES}?identifier=ada"))

    def test_identities__trait_removed_and_another_added__stored(self, sdk: APIClient, full: Identity) -> None:
        response = sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(d=1, a=None)})

        assert traits_in(response) == stored() == {"b": "old", "c": "old", "d": 1}

    def test_identities__trait_over_the_limit_repeatedly__nothing_written(self, sdk: APIClient, full: Identity) -> None:
        with CaptureQueriesContext(connection) as queries:
            for _ in range(2):
                assert traits_in(sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(d=1)}))["d"] == 1
        assert [each["sql"] for each in queries if not each["sql"].startswith("SELECT")] == []

    @pytest.mark.parametrize("caller", ["sdk", "server"])
    def test_traits__over_the_limit__400_and_nothing_stored(
        self, caller: str, request: pytest.FixtureRequest, full: Identity
    ) -> None:
        client = request.getfixturevalue(caller)
        one = client.post(ONE, trait(1, "d"))
        several = client.put(BULK, [trait(1, "k", "bob"), trait("new", "a"), trait(1, "d")])

        assert [(response.status_code, response.json()) for response in (one, several)] == [(400, FULL)] * 2
        assert (stored(), stored("bob")) == (dict.fromkeys("abc", "old"), {})
        assert client.put(BULK, [trait("new", "a"), trait(None, "b"), trait(1, "d")]).status_code == 200
        assert stored() == {"a": "new", "c": "old", "d": 1}

    def test_traits__identity_already_over_the_limit__values_can_change(
        self, sdk: APIClient, full: Identity, settings: Settings
    ) -> None:
        settings.MAX_TRAITS_PER_IDENTITY = 2
        assert sdk.post(ONE, trait("new", "a")).status_code == 200
        assert sdk.post(ONE, trait(1, "d")).status_code == 400
        assert stored() == {"a": "new", "b": "old", "c": "old"}

    def test_admin_api__trait_over_the_limit__400(
        self, admin: APIClient, environment: Environment, full: Identity
    ) -> None:
        path = f"/api/v1/environments/{environment.api_key}/identities/{full.pk}/traits/"
        body = {"trait_key": "d", "value_type": "int", "integer_value": 1}
        response = admin.post(path, body, format="json")

        assert (response.status_code, response.json()) == (400, FULL)
        Trait.objects.filter(trait_key="a").delete()
        assert admin.post(path, body, format="json").status_code == 201


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("of_identities", [True, False])
def test_traits__concurrent_requests__no_more_than_the_limit(
    environment: Environment, feature: Feature, settings: Settings, of_identities: bool
) -> None:
    settings.MAX_TRAITS_PER_IDENTITY = 5
    start = threading.Barrier(8)

    def send(number: int) -> int:
        client = application(environment.api_key)
        try:
            start.wait(PATIENCE)
            if of_identities:
                body = {"identifier": "ada", "traits": traits(**{f"k{number}": 1})}
                return client.post(IDENTITIES, body).status_code
            return client.post(ONE, trait(1, f"k{number}")).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(send, range(8)))

    assert statuses == ([200] * 8 if of_identities else [200] * 5 + [400] * 3)
    assert len(stored()) == 5


def test_bulk__more_traits_than_allowed_in_a_request__400(sdk: APIClient, settings: Settings) -> None:
    settings.MAX_TRAITS_PER_REQUEST = 2
    items = [trait(1, "k", f"user-{number}") for number in range(3)]
    response = sdk.put(BULK, items)

    assert response.status_code == 400
    assert response.json() == {"non_field_errors": ["Ensure this field has no more than 2 elements."]}
    assert not Identity.objects.exists()
    assert sdk.put(BULK, items[:2]).status_code == 200


class TestBytesOfAClientSideKey:
    @pytest.fixture(autouse=True)
    def limit(self, settings: Settings) -> None:
        """Enough for about two identities with a trait."""
        settings.CLIENT_KEY_STORAGE_RATE = "800/hour"
        cache.clear()

    def fill(self, sdk: APIClient) -> None:
        for number in range(4):
            assert sdk.post(IDENTITIES, {"identifier": f"u{number}", "traits": traits(k=1)}).status_code == 200
        assert Identity.objects.count() < 4

    def test_identities__over_the_limit__answered_and_not_stored(
        self, sdk: APIClient, is_professional: Callable[[Any], bool]
    ) -> None:
        self.fill(sdk)
        number = Identity.objects.count()

        posted = sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(plan="pro")})
        read = sdk.get(f"{IDENTITIES}?identifier=bob")

        assert is_professional(posted)
        assert (traits_in(posted), traits_in(read)) == ({"plan": "pro"}, {})
        assert Identity.objects.count() == number

    def test_identities__stored_and_over_the_limit__answered_with_their_traits(self, sdk: APIClient) -> None:
        self.fill(sdk)
        assert traits_in(sdk.get(f"{IDENTITIES}?identifier=u0")) == {"k": 1}
        response = sdk.post(IDENTITIES, {"identifier": "u0", "traits": traits(k=2, other=3)})
        assert traits_in(response) == {"k": 2, "other": 3}
        assert stored("u0") == {"k": 1}

    def test_traits__over_the_limit__429_with_retry_after(self, sdk: APIClient) -> None:
        self.fill(sdk)
        for response in (
            sdk.post(ONE, trait(2, "k", "u0")),
            sdk.put(BULK, [trait(2, "k", "u0"), trait(1, "x", "new")]),
        ):
            assert response.status_code == 429
            assert response.json()["detail"].startswith("Client keys of this environment have stored too much lately.")
            assert 0 < int(response.headers["Retry-After"]) <= 3_600
        assert stored("u0") == {"k": 1}

    def test_traits__unchanged__not_counted(self, sdk: APIClient) -> None:
        self.fill(sdk)
        assert sdk.post(ONE, trait(1, "k", "u0")).status_code == 200
        assert sdk.put(BULK, [trait(1, "k", "u0"), trait(None, "gone", "u0")]).status_code == 200

    def test_trait__removed_over_the_limit__removed(self, sdk: APIClient) -> None:
        self.fill(sdk)
        assert traits_in(sdk.post(IDENTITIES, {"identifier": "u0", "traits": traits(k=None)})) == stored("u0") == {}

    def test_server_side_key__any_number__stored(self, sdk: APIClient, server: APIClient) -> None:
        self.fill(sdk)
        assert server.post(ONE, trait("pro", "plan")).status_code == 200
        assert server.post(IDENTITIES, {"identifier": "ada", "traits": traits(x=1)}).status_code == 200
        assert stored() == {"plan": "pro", "x": 1}

    def test_environments__each__own_limit(self, sdk: APIClient, production: Environment) -> None:
        self.fill(sdk)
        assert application(production.api_key).post(ONE, trait("pro", "plan")).status_code == 200
        assert stored() == {"plan": "pro"}

    def test_log__several_rejections_in_a_window__one_line(
        self, sdk: APIClient, environment: Environment, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            self.fill(sdk)
        lines: list[Any] = [record.msg for record in caplog.records if record.name == "sdk.throttles"]
        assert [(line["event"], line["environment_id"]) for line in lines] == [
            ("client_storage_limit_reached", environment.pk)
        ]


def test_server_side_key__large_import__not_limited(
    environment: Environment, server_key: EnvironmentAPIKey, settings: Settings
) -> None:
    settings.CLIENT_KEY_STORAGE_RATE = "1/hour"
    items = [trait("x" * 100, f"k{number}", f"user-{number % 50}") for number in range(1_000)]
    assert application(server_key.key).put(BULK, items).status_code == 200
    assert Trait.objects.count() == 1_000
