"""How much SDKs may have stored: traits of an identity and of a request, and bytes in a time with a client key."""

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


def counted(answer: Any) -> dict[str, Any]:
    """The traits that counted for the answer of ``identities/``."""
    assert answer.status_code == 200, answer.json()
    return {each["trait_key"]: each["trait_value"] for each in answer.json()["traits"]}


@pytest.fixture
def professional(feature: Feature, segment: Segment, override: Callable[..., FeatureState]) -> Callable[[Any], bool]:
    """Whether an answer of ``identities/`` is for who has the trait ``plan: pro``."""
    override(feature, "for professionals", segment)
    return lambda answer: answer.json()["flags"][0]["feature_state_value"] == "for professionals"


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

    def test_identities__more_in_one_call__400_and_nothing_stored(self, sdk: APIClient) -> None:
        for transient in (False, True):
            items = [{**item, "transient": transient} for item in traits(a=1, b=2, c=3, d=4)]
            answer = sdk.post(IDENTITIES, {"identifier": "ada", "traits": items})
            assert answer.status_code == 400
            assert answer.json() == {"traits": {"non_field_errors": ["Ensure this field has no more than 3 elements."]}}
        assert not Identity.objects.exists()
        assert counted(sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(a=1, b=2, c=3)})) == stored()
        assert len(stored()) == 3

    def test_identities__no_room_for_one__it_counts_and_is_not_stored(
        self, sdk: APIClient, full: Identity, professional: Callable[[Any], bool]
    ) -> None:
        answer = sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(a="new", plan="pro")})

        assert counted(answer) == {"a": "new", "b": "old", "c": "old", "plan": "pro"}
        assert professional(answer)
        assert stored() == {"a": "new", "b": "old", "c": "old"}
        assert not professional(sdk.get(f"{IDENTITIES}?identifier=ada"))

    def test_identities__one_taken_away__makes_room_for_another(self, sdk: APIClient, full: Identity) -> None:
        answer = sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(d=1, a=None)})

        assert counted(answer) == stored() == {"b": "old", "c": "old", "d": 1}

    def test_identities__no_room_again_and_again__nothing_is_written(self, sdk: APIClient, full: Identity) -> None:
        with CaptureQueriesContext(connection) as queries:
            for _ in range(2):
                assert counted(sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(d=1)}))["d"] == 1
        assert [each["sql"] for each in queries if not each["sql"].startswith("SELECT")] == []

    @pytest.mark.parametrize("who", ["sdk", "server"])
    def test_traits__no_room__400_and_nothing_stored(
        self, who: str, request: pytest.FixtureRequest, full: Identity
    ) -> None:
        client = request.getfixturevalue(who)
        one = client.post(ONE, trait(1, "d"))
        several = client.put(BULK, [trait(1, "k", "bob"), trait("new", "a"), trait(1, "d")])

        assert [(answer.status_code, answer.json()) for answer in (one, several)] == [(400, FULL)] * 2
        assert (stored(), stored("bob")) == (dict.fromkeys("abc", "old"), {})
        assert client.put(BULK, [trait("new", "a"), trait(None, "b"), trait(1, "d")]).status_code == 200
        assert stored() == {"a": "new", "c": "old", "d": 1}

    def test_traits__of_an_identity_that_had_more_before__may_change(
        self, sdk: APIClient, full: Identity, settings: Settings
    ) -> None:
        settings.MAX_TRAITS_PER_IDENTITY = 2
        assert sdk.post(ONE, trait("new", "a")).status_code == 200
        assert sdk.post(ONE, trait(1, "d")).status_code == 400
        assert stored() == {"a": "new", "b": "old", "c": "old"}

    def test_admin_api__no_room__400(self, admin: APIClient, environment: Environment, full: Identity) -> None:
        path = f"/api/v1/environments/{environment.api_key}/identities/{full.pk}/traits/"
        body = {"trait_key": "d", "value_type": "int", "integer_value": 1}
        answer = admin.post(path, body, format="json")

        assert (answer.status_code, answer.json()) == (400, FULL)
        Trait.objects.filter(trait_key="a").delete()
        assert admin.post(path, body, format="json").status_code == 201


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("of_identities", [True, False])
def test_traits__from_everywhere_at_once__no_more_than_the_limit(
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


def test_bulk__more_traits_than_a_request_may_have__400(sdk: APIClient, settings: Settings) -> None:
    settings.MAX_TRAITS_PER_REQUEST = 2
    items = [trait(1, "k", f"user-{number}") for number in range(3)]
    answer = sdk.put(BULK, items)

    assert answer.status_code == 400
    assert answer.json() == {"non_field_errors": ["Ensure this field has no more than 2 elements."]}
    assert not Identity.objects.exists()
    assert sdk.put(BULK, items[:2]).status_code == 200


class TestBytesWithAClientKey:
    @pytest.fixture(autouse=True)
    def limit(self, settings: Settings) -> None:
        """Room for about two identities with a trait."""
        settings.CLIENT_KEY_STORAGE_RATE = "800/hour"
        cache.clear()

    def fill(self, sdk: APIClient) -> None:
        for number in range(4):
            assert sdk.post(IDENTITIES, {"identifier": f"u{number}", "traits": traits(k=1)}).status_code == 200
        assert Identity.objects.count() < 4

    def test_identities__beyond_it__answered_and_not_stored(
        self, sdk: APIClient, professional: Callable[[Any], bool]
    ) -> None:
        self.fill(sdk)
        number = Identity.objects.count()

        posted = sdk.post(IDENTITIES, {"identifier": "ada", "traits": traits(plan="pro")})
        got = sdk.get(f"{IDENTITIES}?identifier=bob")

        assert professional(posted)
        assert (counted(posted), counted(got)) == ({"plan": "pro"}, {})
        assert Identity.objects.count() == number

    def test_identities__stored_ones_beyond_it__answered_with_their_traits(self, sdk: APIClient) -> None:
        self.fill(sdk)
        assert counted(sdk.get(f"{IDENTITIES}?identifier=u0")) == {"k": 1}
        answer = sdk.post(IDENTITIES, {"identifier": "u0", "traits": traits(k=2, other=3)})
        assert counted(answer) == {"k": 2, "other": 3}
        assert stored("u0") == {"k": 1}

    def test_traits__beyond_it__429_that_says_when(self, sdk: APIClient) -> None:
        self.fill(sdk)
        for answer in (sdk.post(ONE, trait(2, "k", "u0")), sdk.put(BULK, [trait(2, "k", "u0"), trait(1, "x", "new")])):
            assert answer.status_code == 429
            assert answer.json()["detail"].startswith("Client keys of this environment have stored too much lately.")
            assert 0 < int(answer.headers["Retry-After"]) <= 3_600
        assert stored("u0") == {"k": 1}

    def test_traits__as_they_are_stored__cost_nothing(self, sdk: APIClient) -> None:
        self.fill(sdk)
        assert sdk.post(ONE, trait(1, "k", "u0")).status_code == 200
        assert sdk.put(BULK, [trait(1, "k", "u0"), trait(None, "gone", "u0")]).status_code == 200

    def test_trait__taken_away_beyond_it__gone(self, sdk: APIClient) -> None:
        self.fill(sdk)
        assert counted(sdk.post(IDENTITIES, {"identifier": "u0", "traits": traits(k=None)})) == stored("u0") == {}

    def test_server_key__any_number__stored(self, sdk: APIClient, server: APIClient) -> None:
        self.fill(sdk)
        assert server.post(ONE, trait("pro", "plan")).status_code == 200
        assert server.post(IDENTITIES, {"identifier": "ada", "traits": traits(x=1)}).status_code == 200
        assert stored() == {"plan": "pro", "x": 1}

    def test_other_environment__its_own_limit(self, sdk: APIClient, production: Environment) -> None:
        self.fill(sdk)
        assert application(production.api_key).post(ONE, trait("pro", "plan")).status_code == 200
        assert stored() == {"plan": "pro"}

    def test_log__one_line_for_a_window(
        self, sdk: APIClient, environment: Environment, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            self.fill(sdk)
        lines: list[Any] = [record.msg for record in caplog.records if record.name == "sdk.storage"]
        assert [(line["event"], line["environment_id"]) for line in lines] == [
            ("client_storage_limit_reached", environment.pk)
        ]


def test_server_key__large_import__not_limited_by_default(
    environment: Environment, server_key: EnvironmentAPIKey, settings: Settings
) -> None:
    settings.CLIENT_KEY_STORAGE_RATE = "1/hour"
    items = [trait("x" * 100, f"k{number}", f"user-{number % 50}") for number in range(1_000)]
    assert application(server_key.key).put(BULK, items).status_code == 200
    assert Trait.objects.count() == 1_000
