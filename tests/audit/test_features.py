"""Entries of features, their options and their states."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from core import actor
from environments.models import Environment
from features.models import Feature, FeatureState, FeatureType
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from tests.audit.conftest import Entries
from users.models import FFAdminUser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NewEntries = Callable[[], Entries]


def put(client: APIClient, path: str, **body: Any) -> Any:
    response = client.put(path, body, format="json")
    assert response.status_code == 200, response.content
    return response.json()


def post(client: APIClient, path: str, **body: Any) -> Any:
    response = client.post(path, body, format="json")
    assert response.status_code == 201, response.content
    return response.json()


def short(entries: Entries) -> list[tuple[Any, ...]]:
    """Of each entry the text, the object's type and id, the environment's name and the type of the change."""
    return [
        (
            entry["log"],
            entry["related_object_type"],
            entry["related_object_id"],
            entry["environment"] and entry["environment"]["name"],
            entry["change_type"],
        )
        for entry in entries
    ]


def test_feature__created__one_entry_for_it_and_one_for_each_environment(
    admin: APIClient, user: FFAdminUser, project_path: str, production: Environment, new_entries: NewEntries
) -> None:
    feature = post(admin, f"{project_path}features/", name="f", default_enabled=True)["id"]

    entries = new_entries()
    states = dict(FeatureState.objects.values_list("environment__name", "pk"))
    text = "New Flag / Remote Config created: f"
    assert short(entries) == [
        (text, "FEATURE", feature, None, "CREATE"),
        (text, "FEATURE_STATE", states["Development"], "Development", "CREATE"),
        (text, "FEATURE_STATE", states["Production"], "Production", "CREATE"),
    ]
    assert [entry["change_details"] for entry in entries] == [
        [],
        *[[{"field": "enabled", "old": None, "new": True}]] * 2,
    ]
    assert {entry["author"]["id"] for entry in entries} == {user.pk}
    assert {entry["project"]["id"] for entry in entries} == {production.project_id}
    assert not any(entry["is_system_event"] or entry["related_object_uuid"] for entry in entries)


def test_feature__created_with_options__an_entry_for_each_option(
    admin: APIClient, project_path: str, new_entries: NewEntries
) -> None:
    options = [{"string_value": text, "default_percentage_allocation": 20} for text in "ab"]
    feature = post(admin, f"{project_path}features/", name="f", multivariate_options=options)["id"]

    entry = ("Multivariate option added to feature 'f'.", "FEATURE", feature, None, "CREATE")
    assert short(new_entries())[2:] == [entry] * 2


def test_feature__changed__entry_with_the_changed_fields(
    admin: APIClient, project_path: str, feature: Feature, new_entries: NewEntries
) -> None:
    put(admin, f"{project_path}features/{feature.pk}/", description="new", is_archived=True, is_server_key_only=False)

    (entry,) = new_entries()
    assert short([entry]) == [("Flag / Remote Config updated: banner", "FEATURE", feature.pk, None, "UPDATE")]
    assert entry["change_details"] == [
        {"field": "description", "old": None, "new": "new"},
        {"field": "is_archived", "old": False, "new": True},
    ]


def test_feature__deleted__entries_for_its_states_its_overrides_and_itself(
    admin: APIClient,
    project_path: str,
    feature: Feature,
    state: FeatureState,
    segment: Any,
    make_override: Callable[..., FeatureState],
    new_entries: NewEntries,
) -> None:
    make_override(segment)
    assert admin.delete(f"{project_path}features/{feature.pk}/").status_code == 204

    text = "Flag / Remote Config Deleted: banner"
    override = "Flag state / Remote config value deleted for feature 'banner' and segment 'professionals'"
    assert short(new_entries()) == [
        (text, "FEATURE_STATE", state.pk, "Development", "DELETE"),
        (override, "FEATURE", feature.pk, "Development", "DELETE"),
        (text, "FEATURE", feature.pk, None, "DELETE"),
    ]


@pytest.fixture
def split(make_feature: Callable[..., Feature], environment: Environment) -> MultivariateFeatureOption:
    """The option of a multivariate feature, with a share of 30 %."""
    feature = make_feature("split", type=FeatureType.MULTIVARIATE)
    option = MultivariateFeatureOption.objects.create(
        feature=feature, string_value="a", default_percentage_allocation=30
    )
    for state in feature.feature_states.all():
        MultivariateFeatureStateValue.objects.create(
            feature_state=state, multivariate_feature_option=option, percentage_allocation=30
        )
    return option


def test_option__added_to_a_standard_feature__also_entry_of_the_features_type(
    admin: APIClient, project_path: str, feature: Feature, new_entries: NewEntries
) -> None:
    body = {"string_value": "a", "default_percentage_allocation": 10, "feature": feature.pk}
    post(admin, f"{project_path}features/{feature.pk}/mv-options/", **body)

    added, updated = new_entries()
    assert added["log"] == "Multivariate option added to feature 'banner'."
    assert (added["related_object_type"], added["related_object_id"]) == ("FEATURE", feature.pk)
    assert updated["log"] == "Flag / Remote Config updated: banner"
    assert updated["change_details"] == [{"field": "type", "old": "STANDARD", "new": "MULTIVARIATE"}]


def test_option__changed_and_deleted__logged(
    admin: APIClient, project_path: str, split: MultivariateFeatureOption, new_entries: NewEntries
) -> None:
    path = f"{project_path}features/{split.feature_id}/mv-options/{split.pk}/"
    assert admin.patch(path, {"string_value": "b"}, format="json").status_code == 200
    (changed,) = new_entries()
    assert admin.delete(path).status_code == 204

    assert changed["log"] == "Multivariate option updated for feature 'split'."
    assert changed["change_details"] == [{"field": "string_value", "old": "a", "new": "b"}]
    assert [entry["log"] for entry in new_entries()] == [
        "Multivariate option removed from feature 'split'.",
        "Flag / Remote Config updated: split",
    ]


def test_options__replaced_with_the_feature__an_entry_for_each(
    admin: APIClient, project_path: str, split: MultivariateFeatureOption, new_texts: Callable[[], list[str]]
) -> None:
    options = [
        {"id": split.pk, "type": "unicode", "string_value": "b", "default_percentage_allocation": 30},
        {"string_value": "c", "default_percentage_allocation": 5},
    ]
    put(admin, f"{project_path}features/{split.feature_id}/", multivariate_options=options)
    first = new_texts()
    put(admin, f"{project_path}features/{split.feature_id}/", multivariate_options=options[:1])

    assert first == [
        "Multivariate option updated for feature 'split'.",
        "Multivariate option added to feature 'split'.",
    ]
    assert new_texts() == ["Multivariate option removed from feature 'split'."]


@pytest.mark.parametrize("by_environment", [True, False])
def test_state__put__an_entry_for_the_state_and_one_for_the_value(
    admin: APIClient,
    environment: Environment,
    environment_path: str,
    feature: Feature,
    state: FeatureState,
    new_entries: NewEntries,
    by_environment: bool,
) -> None:
    value: Any = "new" if by_environment else {"type": "unicode", "string_value": "new"}
    path = f"{environment_path if by_environment else '/api/v1/features/'}featurestates/{state.pk}/"
    body = {"environment": environment.pk, "feature": feature.pk, "enabled": True, "feature_state_value": value}
    put(admin, path, **body)
    entries = new_entries()
    put(admin, path, **body)

    assert short(entries) == [
        ("Flag state updated for feature: banner", "FEATURE_STATE", state.pk, "Development", "UPDATE"),
        ("Remote config value updated for feature: banner", "FEATURE_STATE", state.pk, "Development", "UPDATE"),
    ]
    assert [entry["change_details"] for entry in entries] == [
        [{"field": "enabled", "old": False, "new": True}],
        [{"field": "string_value", "old": None, "new": "new"}],
    ]
    assert new_entries() == []


def test_value__changes_its_type__entry_with_all_changed_columns(
    admin: APIClient, environment_path: str, state: FeatureState, new_entries: NewEntries
) -> None:
    assert admin.patch(f"{environment_path}featurestates/{state.pk}/", {"feature_state_value": 5}, format="json")

    (entry,) = new_entries()
    assert entry["change_details"] == [
        {"field": "type", "old": "unicode", "new": "int"},
        {"field": "integer_value", "old": None, "new": 5},
    ]


def test_value__from_null_to_empty_text__no_entry(
    admin: APIClient, environment_path: str, state: FeatureState, new_entries: NewEntries
) -> None:
    put(admin, f"{environment_path}featurestates/{state.pk}/", feature_state_value="")

    assert new_entries() == []


def test_shares__changed_added_and_removed__an_entry_for_each(
    admin: APIClient, environment_path: str, split: MultivariateFeatureOption, new_entries: NewEntries
) -> None:
    other = MultivariateFeatureOption.objects.create(
        feature=split.feature, string_value="b", default_percentage_allocation=0
    )
    state = FeatureState.objects.get(feature=split.feature)
    path = f"{environment_path}featurestates/{state.pk}/"

    def shares(**percentages: float) -> list[dict[str, Any]]:
        return [
            {"multivariate_feature_option": option.pk, "percentage_allocation": percentages[name]}
            for name, option in (("a", split), ("b", other))
            if name in percentages
        ]

    put(admin, path, multivariate_feature_state_values=shares(a=40, b=5))
    put(admin, path, multivariate_feature_state_values=shares(a=40))
    put(admin, path, multivariate_feature_state_values=shares(a=40))

    entries = new_entries()
    expected = ("Multivariate value changed for feature 'split'.", "FEATURE_STATE", state.pk, "Development", "UPDATE")
    assert short(entries) == [expected] * 3
    assert [[(detail["old"], detail["new"]) for detail in entry["change_details"]] for entry in entries] == [
        [(30.0, 40.0), (split.pk, split.pk)],
        [(None, 5.0), (None, other.pk)],
        [(5.0, None), (other.pk, None)],
    ]


def test_share__saved_outside_of_a_service__logged(split: MultivariateFeatureOption, new_entries: NewEntries) -> None:
    share = split.multivariate_feature_state_values.get()
    with actor.system():
        for percentage in (40, 40):
            share.percentage_allocation = percentage
            share.save()

    (entry,) = new_entries()
    assert entry["log"] == "Multivariate value changed for feature 'split'."
    [percentage, of_option] = entry["change_details"]
    assert percentage == {"field": "percentage_allocation", "old": 30.0, "new": 40.0}
    assert of_option == {"field": "multivariate_feature_option", "old": split.pk, "new": split.pk}


def test_state__deleted_and_created_again__logged(
    admin: APIClient, environment_path: str, feature: Feature, state: FeatureState, new_entries: NewEntries
) -> None:
    assert admin.delete(f"{environment_path}featurestates/{state.pk}/").status_code == 204
    created = post(
        admin, f"{environment_path}featurestates/", feature=feature.pk, enabled=True, feature_state_value="v"
    )

    assert short(new_entries()) == [
        ("Flag / Remote Config Deleted: banner", "FEATURE_STATE", state.pk, "Development", "DELETE"),
        ("New Flag / Remote Config created: banner", "FEATURE_STATE", created["id"], "Development", "CREATE"),
        ("Remote config value updated for feature: banner", "FEATURE_STATE", created["id"], "Development", "UPDATE"),
    ]


def test_feature__percent_signs_in_its_name__unchanged_in_the_text(
    admin: APIClient, project_path: str, new_entries: NewEntries
) -> None:
    post(admin, f"{project_path}features/", name="100%s %d")

    assert {entry["log"] for entry in new_entries()} == {"New Flag / Remote Config created: 100%s %d"}


def test_feature__only_tags_and_owners_changed__no_entry(
    admin: APIClient, user: FFAdminUser, project_path: str, feature: Feature, new_entries: NewEntries
) -> None:
    tag = post(admin, f"{project_path}tags/", label="t", color="#fff")["id"]
    put(admin, f"{project_path}features/{feature.pk}/", tags=[tag])
    add = admin.post(f"{project_path}features/{feature.pk}/add-owners/", {"user_ids": [user.pk]}, format="json")

    assert add.status_code == 200
    assert new_entries() == []
