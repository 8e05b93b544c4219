"""``projects/{project}/features/``: the list and its filters."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from projects.tags.models import Tag
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


@pytest.fixture
def names(admin: APIClient, features: str) -> Callable[[str], list[str]]:
    """The names of the listed features for a query, in order."""

    def listed(query: str) -> list[str]:
        answer = admin.get(f"{features}?{query}")
        assert answer.status_code == 200, answer.json()
        return [feature["name"] for feature in answer.json()["results"]]

    return listed


def set_value(feature: Feature, environment: Environment, value: Any, enabled: bool = False) -> None:
    state = FeatureState.objects.get(feature=feature, environment=environment, identity=None, feature_segment=None)
    state.enabled = enabled
    state.save()
    state.feature_state_value.value = value
    state.feature_state_value.save()


def test_list__page_size__paginated(admin: APIClient, features: str, make_feature: Callable[..., Feature]) -> None:
    for number in range(3):
        make_feature(f"f{number}")
    answer = admin.get(f"{features}?page_size=2").json()
    assert (answer["count"], len(answer["results"]), answer["previous"]) == (3, 2, None)
    assert answer["next"].startswith("http://testserver/api/v1/projects/")
    assert len(admin.get(answer["next"]).json()["results"]) == 1
    assert admin.get(f"{features}?page=9").json() == {"detail": "Invalid page."}


def test_list__search_and_sort__by_name_and_creation_date(
    names: Callable[[str], list[str]], make_feature: Callable[..., Feature]
) -> None:
    for name in ("beta", "Alphabet", "gamma"):
        make_feature(name)
    assert names("") == ["beta", "Alphabet", "gamma"]
    assert names("search=BET") == ["beta", "Alphabet"]
    assert names("sort_field=name") == ["Alphabet", "beta", "gamma"]
    assert names("sort_field=name&sort_direction=DESC") == ["gamma", "beta", "Alphabet"]
    assert names("sort_direction=DESC") == ["gamma", "Alphabet", "beta"]
    assert names("search=&sort_field=&type=&value_search=") == ["beta", "Alphabet", "gamma"]


def test_list__tags__intersection_union_or_untagged(
    names: Callable[[str], list[str]], make_feature: Callable[..., Feature], project: Project
) -> None:
    red, blue = (Tag.objects.create(label=label, color="#000000", project=project) for label in ("red", "blue"))
    make_feature("both").tags.add(red, blue)
    make_feature("red").tags.add(red)
    make_feature("none")
    assert names(f"tags={red.pk},{blue.pk}") == ["both"]
    assert names(f"tags={red.pk},{blue.pk}&tag_strategy=UNION") == ["both", "red"]
    assert names(f"tags={red.pk}, {red.pk}") == ["both", "red"]
    assert names("tags=") == ["none"]


def test_list__type_archived_or_owner__filtered(
    names: Callable[[str], list[str]], make_feature: Callable[..., Feature], user: FFAdminUser
) -> None:
    make_feature("plain")
    make_feature("archived", is_archived=True)
    make_feature("split", type="MULTIVARIATE").owners.add(user)
    assert names("is_archived=true") == ["archived"]
    assert names("is_archived=false") == ["plain", "split"]
    assert names("type=MULTIVARIATE") == ["split"]
    assert names(f"owners={user.pk},0") == ["split"]
    assert names("group_owners=1") == []
    assert names(f"owners={user.pk}&group_owners=1") == ["split"]


def test_list__state_or_value__filtered_by_the_environments_defaults(
    names: Callable[[str], list[str]],
    make_feature: Callable[..., Feature],
    environment: Environment,
    production: Environment,
) -> None:
    for name, value, enabled in (("text", "Hello 12", True), ("number", 12, False), ("boolean", True, False)):
        set_value(make_feature(name), environment, value, enabled)
    query = f"environment={environment.pk}"
    assert names(f"{query}&is_enabled=true") == ["text"]
    assert names(f"{query}&is_enabled=false") == ["number", "boolean"]
    assert names(f"{query}&is_enabled=null") == ["text", "number", "boolean"]
    assert names(f"{query}&value_search=hello") == ["text"]
    assert names(f"{query}&value_search=12") == ["text", "number"]
    assert names(f"{query}&value_search=True") == ["boolean"]
    assert names(f"{query}&value_search=12&is_enabled=false") == ["number"]
    assert names(f"environment={production.pk}&is_enabled=true") == []


@pytest.mark.parametrize("query", ["is_enabled=true", "value_search=x"])
def test_list__state_filter_without_environment__rejected(admin: APIClient, features: str, query: str) -> None:
    answer = admin.get(f"{features}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == ["environment"]


@pytest.mark.parametrize(
    "field, text",
    [
        ("sort_field", "x"),
        ("tags", "a"),
        ("tags", "99999999999999999999"),
        ("owners", ",".join(["1"] * 1001)),
        ("environment", "x"),
        ("environment", "99999999999999999999"),
        ("segment", "x"),
        ("identity", "u1"),
        ("is_archived", "maybe"),
        ("type", "x"),
    ],
)
def test_list__invalid_parameter__rejected_with_field(admin: APIClient, features: str, field: str, text: str) -> None:
    answer = admin.get(f"{features}?{field}={text}")
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_list__environment_and_segment__states_and_override_counts(
    admin: APIClient,
    features: str,
    environment: Environment,
    production: Environment,
    make_feature: Callable[..., Feature],
    make_override: Callable[..., FeatureSegment],
    make_identity_override: Callable[..., FeatureState],
) -> None:
    plain, overridden = make_feature("plain", initial_value="12"), make_feature("overridden")
    feature_segments = [make_override(overridden, name, priority) for priority, name in enumerate("ab")]
    make_override(overridden, "without a state", 2, live=False)
    for identifier in ("u", "v", "w"):
        make_identity_override(overridden, identifier)
    query = f"environment={environment.pk}&segment={feature_segments[1].segment_id}"
    first, second = admin.get(f"{features}?{query}").json()["results"]
    state = FeatureState.objects.get(feature=plain, environment=environment)
    # Overridden features come first.
    assert (first["name"], second["name"]) == ("overridden", "plain")
    assert second["environment_feature_state"] == {
        "id": state.pk,
        "feature_state_value": 12,
        "environment": environment.pk,
        "identity": None,
        "feature_segment": None,
        "enabled": False,
    }
    assert (second["num_segment_overrides"], second["num_identity_overrides"]) == (0, None)
    assert second["segment_feature_state"] is None
    assert (first["num_segment_overrides"], first["num_identity_overrides"]) == (2, 3)
    assert first["segment_feature_state"]["feature_segment"] == feature_segments[1].pk
    assert first["segment_feature_state"]["feature_state_value"] == "b"
    retrieved = admin.get(f"{features}{overridden.pk}/?{query}").json()
    assert retrieved == first
    in_production = admin.get(f"{features}?environment={production.pk}").json()["results"][0]
    assert (in_production["num_segment_overrides"], in_production["num_identity_overrides"]) == (0, None)
    without_environment = admin.get(features).json()["results"][0]
    assert without_environment["environment_feature_state"] is None


def test_list__identity__overridden_features_first(
    names: Callable[[str], list[str]],
    make_feature: Callable[..., Feature],
    environment: Environment,
    make_identity_override: Callable[..., FeatureState],
) -> None:
    make_feature("a")
    override = make_identity_override(make_feature("b"), "u")
    assert names(f"identity={override.identity_id}") == ["b", "a"]
    assert names(f"environment={environment.pk}&identity={override.identity_id}") == ["b", "a"]


def test_list__draft_state__not_shown(
    admin: APIClient, features: str, feature: Feature, environment: Environment
) -> None:
    draft = FeatureState.objects.create(feature=feature, environment=environment, enabled=True, version=None)
    FeatureStateValue.objects.create(feature_state=draft, string_value="draft")
    result = admin.get(f"{features}?environment={environment.pk}").json()["results"][0]
    assert result["environment_feature_state"]["enabled"] is False
    assert admin.get(f"{features}?environment={environment.pk}&is_enabled=true").json()["count"] == 0


def test_list__environment_not_visible__not_found(
    admin: APIClient,
    member: APIClient,
    permit: Callable[..., None],
    features: str,
    environment: Environment,
    organisation: Organisation,
) -> None:
    other = Environment.objects.create(
        name="x", project=Project.objects.create(name="other", organisation=organisation)
    )
    answer = admin.get(f"{features}?environment={other.pk}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "No Environment matches the given query."})
    permit("VIEW_PROJECT")
    assert member.get(f"{features}?environment={environment.pk}").status_code == 404
    permit("VIEW_ENVIRONMENT", environment=environment)
    assert member.get(f"{features}?environment={environment.pk}").status_code == 200


def test_list__segment_without_environment__ignored(
    admin: APIClient, features: str, feature: Feature, make_override: Callable[..., FeatureSegment]
) -> None:
    feature_segment = make_override(feature, "s", 0)
    (shown,) = admin.get(f"{features}?segment={feature_segment.segment_id}").json()["results"]
    assert (shown["environment_feature_state"], shown["segment_feature_state"]) == (None, None)
    assert (shown["num_segment_overrides"], shown["num_identity_overrides"]) == (0, None)
