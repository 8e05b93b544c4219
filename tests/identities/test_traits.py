"""``environments/{api_key}/identities/{id}/traits/``."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature, FeatureState

pytestmark = pytest.mark.django_db


@pytest.fixture
def traits(path: str, identity: Identity) -> str:
    return f"{path}{identity.pk}/traits/"


@pytest.fixture
def trait(identity: Identity) -> Trait:
    return Trait.objects.create(identity=identity, trait_key="plan", trait_value="pro")


def test_create__string_value__response_as_in_flagsmith(admin: APIClient, traits: str) -> None:
    body = {"identity": {"identifier": "u1"}, "trait_key": "k", "value_type": "unicode", "string_value": "v"}
    response = admin.post(traits, body, format="json")
    assert response.status_code == 201
    trait = Trait.objects.get()
    assert list(response.json().items()) == [
        ("id", trait.pk),
        ("trait_key", "k"),
        ("value_type", "unicode"),
        ("integer_value", None),
        ("string_value", "v"),
        ("boolean_value", None),
        ("float_value", None),
        ("created_date", trait.created_date.isoformat().replace("+00:00", "Z")),
    ]


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [("unicode", "string_value", "v"), ("unicode", "string_value", ""), ("int", "integer_value", -(2**63)),
     ("int", "integer_value", 2**63 - 1), ("bool", "boolean_value", False), ("float", "float_value", 1.5)],
)  # fmt: skip
def test_create__each_type__only_its_column_is_set(
    admin: APIClient, traits: str, kind: str, column: str, value: Any
) -> None:
    others = {"integer_value": 1, "string_value": "x", "boolean_value": True, "float_value": 2.5}
    body = {"trait_key": "k", "value_type": kind, **others, column: value}
    response = admin.post(traits, body, format="json")
    assert response.status_code == 201
    assert {name: response.json()[name] for name in others} == {**dict.fromkeys(others), column: value}
    assert Trait.objects.get().trait_value == value


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"string_value": "v"}, "trait_key"),
        ({"trait_key": "k" * 201, "string_value": "v"}, "trait_key"),
        ({"trait_key": "", "string_value": "v"}, "trait_key"),
        ({"trait_key": "k"}, "string_value"),
        ({"trait_key": "k", "string_value": None}, "string_value"),
        ({"trait_key": "k", "string_value": "x" * 2001}, "string_value"),
        ({"trait_key": "k", "string_value": "a\0"}, "string_value"),
        ({"trait_key": "k", "value_type": "int", "string_value": "v"}, "integer_value"),
        ({"trait_key": "k", "value_type": "int", "integer_value": 2**63}, "integer_value"),
        ({"trait_key": "k", "value_type": "int", "integer_value": "one"}, "integer_value"),
        ({"trait_key": "k", "value_type": "bool", "boolean_value": "maybe"}, "boolean_value"),
        ({"trait_key": "k", "value_type": "float", "float_value": "nan"}, "float_value"),
        ({"trait_key": "k", "value_type": "float", "float_value": "1e999"}, "float_value"),
        ({"trait_key": "k", "value_type": "list", "string_value": "v"}, "value_type"),
        ({"trait_key": "k", "value_type": None, "string_value": "v"}, "value_type"),
        ({"trait_key": "k", "value_type": ["int"], "string_value": "v"}, "value_type"),
    ],
)
def test_create__bad_field__400_naming_it(admin: APIClient, traits: str, body: Any, field: str) -> None:
    response = admin.post(traits, body, format="json")
    assert (response.status_code, list(response.json())) == (400, [field])
    assert not Trait.objects.exists()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
def test_create__not_a_finite_number__400(admin: APIClient, traits: str, number: str) -> None:
    body = json.dumps({"trait_key": "k", "value_type": "float", "float_value": "N"}).replace('"N"', number)
    assert admin.post(traits, body, content_type="application/json").status_code == 400


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_key__taken__400(admin: APIClient, traits: str, trait: Trait, method: str) -> None:
    other = Trait.objects.create(identity=trait.identity, trait_key="other", trait_value=1)
    target = traits if method == "post" else f"{traits}{other.pk}/"
    response = getattr(admin, method)(target, {"trait_key": "plan", "string_value": "v"}, format="json")
    assert (response.status_code, list(response.json())) == (400, ["trait_key"])
    assert Trait.objects.count() == 2


def test_patch__only_key__value_unchanged(admin: APIClient, traits: str, trait: Trait) -> None:
    response = admin.patch(f"{traits}{trait.pk}/", {"trait_key": "tariff"}, format="json")
    assert (response.status_code, response.json()["string_value"]) == (200, "pro")


@pytest.mark.parametrize("method", ["put", "patch"])
def test_update__another_type__old_column_is_null(admin: APIClient, traits: str, trait: Trait, method: str) -> None:
    body = {"trait_key": "plan", "value_type": "int", "integer_value": 3}
    response = getattr(admin, method)(f"{traits}{trait.pk}/", body, format="json")
    assert (response.status_code, response.json()["integer_value"], response.json()["string_value"]) == (200, 3, None)
    trait.refresh_from_db()
    assert trait.trait_value == 3


def test_patch__type_without_its_value__400(admin: APIClient, traits: str, trait: Trait) -> None:
    response = admin.patch(f"{traits}{trait.pk}/", {"value_type": "int"}, format="json")
    assert (response.status_code, list(response.json())) == (400, ["integer_value"])


def test_list__page_size__ignored(admin: APIClient, traits: str, identity: Identity) -> None:
    for number in range(12):
        Trait.objects.create(identity=identity, trait_key=f"k{number}", trait_value=number)
    page = admin.get(traits, {"page_size": 5}).json()
    assert (page["count"], len(page["results"])) == (12, 12)


def test_list__more_traits__same_number_of_queries(
    admin: APIClient, traits: str, identity: Identity, queries: Callable[[Callable[[], object]], int]
) -> None:
    counts = set()
    for number in range(9):
        Trait.objects.create(identity=identity, trait_key=f"k{number}", trait_value=number)
        counts.add(queries(lambda: admin.get(traits)))
    assert len(counts) == 1


def test_delete__one__others_unchanged(admin: APIClient, path: str, traits: str, trait: Trait) -> None:
    other = Identity.objects.create(environment=trait.identity.environment, identifier="u2")
    Trait.objects.create(identity=other, trait_key="plan", trait_value="free")
    assert admin.get(f"{traits}{trait.pk}/").json()["string_value"] == "pro"
    assert admin.delete(f"{traits}{trait.pk}/").status_code == 204
    assert Trait.objects.get().identity == other


def test_delete__all_matching__key_deleted_in_this_environment_only(
    admin: APIClient, traits: str, trait: Trait, production: Environment
) -> None:
    foreign_identity = Identity.objects.create(environment=production, identifier="u1")
    other_identity = Identity.objects.create(environment=trait.identity.environment, identifier="u2")
    unchanged_ids = {Trait.objects.create(identity=foreign_identity, trait_key="plan", trait_value="pro").pk}
    unchanged_ids.add(Trait.objects.create(identity=other_identity, trait_key="other", trait_value="pro").pk)
    Trait.objects.create(identity=other_identity, trait_key="plan", trait_value="free")
    assert admin.delete(f"{traits}{trait.pk}/?deleteAllMatchingTraits=true").status_code == 204
    assert set(Trait.objects.values_list("pk", flat=True)) == unchanged_ids


@pytest.mark.django_db(transaction=True)
def test_writes__identity_with_an_override__version_unchanged(
    admin: APIClient, traits: str, trait: Trait, feature: Feature, versions: Callable[[], tuple[bool, int]]
) -> None:
    identity = trait.identity
    FeatureState.objects.create(environment=identity.environment, feature=feature, identity=identity)
    versions()
    assert admin.post(traits, {"trait_key": "k", "string_value": "v"}, format="json").status_code == 201
    assert admin.patch(f"{traits}{trait.pk}/", {"string_value": "free"}, format="json").status_code == 200
    assert admin.delete(f"{traits}{trait.pk}/").status_code == 204
    assert versions() == (False, 0)


def test_traits__of_an_identity_of_another_environment__404(
    admin: APIClient, production: Environment, trait: Trait
) -> None:
    path = f"/api/v1/environments/{production.api_key}/identities/{trait.identity_id}/traits/"
    response = admin.get(path)
    assert (response.status_code, response.json()) == (404, {"detail": "No Identity matches the given query."})
    assert admin.post(path, {"trait_key": "k", "string_value": "v"}, format="json").status_code == 404
    assert admin.delete(f"{path}{trait.pk}/").status_code == 404


def test_traits__other_tenant__404(outsider: APIClient, anonymous: APIClient, traits: str, trait: Trait) -> None:
    assert outsider.get(traits).status_code == 404
    assert outsider.delete(f"{traits}{trait.pk}/").status_code == 404
    assert anonymous.get(traits).status_code == 401
