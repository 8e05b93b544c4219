"""What the log says of features, their options, and the environments' states of them."""

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

Logged = Callable[[], Entries]


def put(client: APIClient, path: str, **body: Any) -> Any:
    answer = client.put(path, body, format="json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def post(client: APIClient, path: str, **body: Any) -> Any:
    answer = client.post(path, body, format="json")
    assert answer.status_code == 201, answer.content
    return answer.json()


def short(entries: Entries) -> list[tuple[Any, ...]]:
    """Text, type, object, the environment's name, what happened."""
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
    admin: APIClient, user: FFAdminUser, of_project: str, production: Environment, logged: Logged
) -> None:
    feature = post(admin, f"{of_project}features/", name="f", default_enabled=True)["id"]

    entries = logged()
    states = dict(FeatureState.objects.values_list("environment__name", "pk"))
    said = "New Flag / Remote Config created: f"
    assert short(entries) == [
        (said, "FEATURE", feature, None, "CREATE"),
        (said, "FEATURE_STATE", states["Development"], "Development", "CREATE"),
        (said, "FEATURE_STATE", states["Production"], "Production", "CREATE"),
    ]
    assert [entry["change_details"] for entry in entries] == [
        [],
        *[[{"field": "enabled", "old": None, "new": True}]] * 2,
    ]
    assert {entry["author"]["id"] for entry in entries} == {user.pk}
    assert {entry["project"]["id"] for entry in entries} == {production.project_id}
    assert not any(entry["is_system_event"] or entry["related_object_uuid"] for entry in entries)


def test_feature__created_with_options__an_entry_for_each_option(
    admin: APIClient, of_project: str, logged: Logged
) -> None:
    options = [{"string_value": text, "default_percentage_allocation": 20} for text in "ab"]
    feature = post(admin, f"{of_project}features/", name="f", multivariate_options=options)["id"]

    assert (
        short(logged())[2:] == [("Multivariate option added to feature 'f'.", "FEATURE", feature, None, "CREATE")] * 2
    )


def test_feature__changed__entry_with_what_changed(
    admin: APIClient, of_project: str, feature: Feature, logged: Logged
) -> None:
    put(admin, f"{of_project}features/{feature.pk}/", description="new", is_archived=True, is_server_key_only=False)

    (entry,) = logged()
    assert short([entry]) == [("Flag / Remote Config updated: banner", "FEATURE", feature.pk, None, "UPDATE")]
    assert entry["change_details"] == [
        {"field": "description", "old": None, "new": "new"},
        {"field": "is_archived", "old": False, "new": True},
    ]


def test_feature__deleted__entries_for_its_states_its_overrides_and_itself(
    admin: APIClient,
    of_project: str,
    feature: Feature,
    state: FeatureState,
    segment: Any,
    make_override: Callable[..., FeatureState],
    logged: Logged,
) -> None:
    make_override(segment)
    assert admin.delete(f"{of_project}features/{feature.pk}/").status_code == 204

    gone = "Flag / Remote Config Deleted: banner"
    override = "Flag state / Remote config value deleted for feature 'banner' and segment 'professionals'"
    assert short(logged()) == [
        (gone, "FEATURE_STATE", state.pk, "Development", "DELETE"),
        (override, "FEATURE", feature.pk, "Development", "DELETE"),
        (gone, "FEATURE", feature.pk, None, "DELETE"),
    ]


@pytest.fixture
def split(make_feature: Callable[..., Feature], environment: Environment) -> MultivariateFeatureOption:
    """The option of a multivariate feature that 30 % get."""
    feature = make_feature("split", type=FeatureType.MULTIVARIATE)
    option = MultivariateFeatureOption.objects.create(
        feature=feature, string_value="a", default_percentage_allocation=30
    )
    for state in feature.feature_states.all():
        MultivariateFeatureStateValue.objects.create(
            feature_state=state, multivariate_feature_option=option, percentage_allocation=30
        )
    return option


def test_option__added_to_a_standard_feature__the_feature_is_another_type_as_well(
    admin: APIClient, of_project: str, feature: Feature, logged: Logged
) -> None:
    body = {"string_value": "a", "default_percentage_allocation": 10, "feature": feature.pk}
    post(admin, f"{of_project}features/{feature.pk}/mv-options/", **body)

    added, updated = logged()
    assert added["log"] == "Multivariate option added to feature 'banner'."
    assert (added["related_object_type"], added["related_object_id"]) == ("FEATURE", feature.pk)
    assert updated["log"] == "Flag / Remote Config updated: banner"
    assert updated["change_details"] == [{"field": "type", "old": "STANDARD", "new": "MULTIVARIATE"}]


def test_option__changed_and_removed__logged(
    admin: APIClient, of_project: str, split: MultivariateFeatureOption, logged: Logged
) -> None:
    path = f"{of_project}features/{split.feature_id}/mv-options/{split.pk}/"
    assert admin.patch(path, {"string_value": "b"}, format="json").status_code == 200
    (changed,) = logged()
    assert admin.delete(path).status_code == 204

    assert changed["log"] == "Multivariate option updated for feature 'split'."
    assert changed["change_details"] == [{"field": "string_value", "old": "a", "new": "b"}]
    assert [entry["log"] for entry in logged()] == [
        "Multivariate option removed from feature 'split'.",
        "Flag / Remote Config updated: split",
    ]


def test_options__replaced_with_the_feature__an_entry_for_each(
    admin: APIClient, of_project: str, split: MultivariateFeatureOption, texts: Callable[[], list[str]]
) -> None:
    options = [
        {"id": split.pk, "type": "unicode", "string_value": "b", "default_percentage_allocation": 30},
        {"string_value": "c", "default_percentage_allocation": 5},
    ]
    put(admin, f"{of_project}features/{split.feature_id}/", multivariate_options=options)
    first = texts()
    put(admin, f"{of_project}features/{split.feature_id}/", multivariate_options=options[:1])

    assert first == [
        "Multivariate option updated for feature 'split'.",
        "Multivariate option added to feature 'split'.",
    ]
    assert texts() == ["Multivariate option removed from feature 'split'."]


@pytest.mark.parametrize("prefix", ["of_environment", "/api/v1/features/"])
def test_state__put__an_entry_for_the_state_and_one_for_the_value(
    request: pytest.FixtureRequest,
    admin: APIClient,
    environment: Environment,
    feature: Feature,
    state: FeatureState,
    logged: Logged,
    prefix: str,
) -> None:
    value: Any = "new"
    if prefix.startswith("of"):
        prefix = request.getfixturevalue(prefix)
    else:
        value = {"type": "unicode", "string_value": "new"}
    body = {"environment": environment.pk, "feature": feature.pk, "enabled": True, "feature_state_value": value}
    put(admin, f"{prefix}featurestates/{state.pk}/", **body)
    entries = logged()
    put(admin, f"{prefix}featurestates/{state.pk}/", **body)

    assert short(entries) == [
        ("Flag state updated for feature: banner", "FEATURE_STATE", state.pk, "Development", "UPDATE"),
        ("Remote config value updated for feature: banner", "FEATURE_STATE", state.pk, "Development", "UPDATE"),
    ]
    assert [entry["change_details"] for entry in entries] == [
        [{"field": "enabled", "old": False, "new": True}],
        [{"field": "string_value", "old": None, "new": "new"}],
    ]
    assert logged() == []


def test_value__of_another_type__all_columns_that_changed(
    admin: APIClient, of_environment: str, state: FeatureState, logged: Logged
) -> None:
    assert admin.patch(f"{of_environment}featurestates/{state.pk}/", {"feature_state_value": 5}, format="json")

    (entry,) = logged()
    assert entry["change_details"] == [
        {"field": "type", "old": "unicode", "new": "int"},
        {"field": "integer_value", "old": None, "new": 5},
    ]


def test_value__from_none_to_empty__no_entry(
    admin: APIClient, of_environment: str, state: FeatureState, logged: Logged
) -> None:
    put(admin, f"{of_environment}featurestates/{state.pk}/", feature_state_value="")

    assert logged() == []


def test_shares__changed_added_and_removed__an_entry_for_each(
    admin: APIClient, of_environment: str, split: MultivariateFeatureOption, logged: Logged
) -> None:
    other = MultivariateFeatureOption.objects.create(
        feature=split.feature, string_value="b", default_percentage_allocation=0
    )
    state = FeatureState.objects.get(feature=split.feature)
    path = f"{of_environment}featurestates/{state.pk}/"

    def shares(**of: float) -> list[dict[str, Any]]:
        return [
            {"multivariate_feature_option": option.pk, "percentage_allocation": of[name]}
            for name, option in (("a", split), ("b", other))
            if name in of
        ]

    put(admin, path, multivariate_feature_state_values=shares(a=40, b=5))
    put(admin, path, multivariate_feature_state_values=shares(a=40))
    put(admin, path, multivariate_feature_state_values=shares(a=40))

    entries = logged()
    said = ("Multivariate value changed for feature 'split'.", "FEATURE_STATE", state.pk, "Development", "UPDATE")
    assert short(entries) == [said] * 3
    assert [(each["old"], each["new"]) for entry in entries for each in entry["change_details"]] == [
        (30.0, 40.0),
        (None, 5.0),
        (5.0, None),
    ]


def test_share__saved_by_itself__logged(split: MultivariateFeatureOption, logged: Logged) -> None:
    share = split.multivariate_feature_state_values.get()
    with actor.system():
        for percentage in (40, 40):
            share.percentage_allocation = percentage
            share.save()

    (entry,) = logged()
    assert entry["log"] == "Multivariate value changed for feature 'split'."
    assert entry["change_details"] == [{"field": "percentage_allocation", "old": 30.0, "new": 40.0}]


def test_state__deleted_and_made_again__logged(
    admin: APIClient, of_environment: str, feature: Feature, state: FeatureState, logged: Logged
) -> None:
    assert admin.delete(f"{of_environment}featurestates/{state.pk}/").status_code == 204
    made = post(admin, f"{of_environment}featurestates/", feature=feature.pk, enabled=True, feature_state_value="v")

    assert short(logged()) == [
        ("Flag / Remote Config Deleted: banner", "FEATURE_STATE", state.pk, "Development", "DELETE"),
        ("New Flag / Remote Config created: banner", "FEATURE_STATE", made["id"], "Development", "CREATE"),
        ("Remote config value updated for feature: banner", "FEATURE_STATE", made["id"], "Development", "UPDATE"),
    ]


def test_feature__percent_signs_in_its_name__as_they_are(admin: APIClient, of_project: str, logged: Logged) -> None:
    post(admin, f"{of_project}features/", name="100%s %d")

    assert {entry["log"] for entry in logged()} == {"New Flag / Remote Config created: 100%s %d"}


def test_feature__only_tags_and_owners_changed__no_entry(
    admin: APIClient, user: FFAdminUser, of_project: str, feature: Feature, logged: Logged
) -> None:
    tag = post(admin, f"{of_project}tags/", label="t", color="#fff")["id"]
    put(admin, f"{of_project}features/{feature.pk}/", tags=[tag])
    add = admin.post(f"{of_project}features/{feature.pk}/add-owners/", {"user_ids": [user.pk]}, format="json")

    assert add.status_code == 200
    assert logged() == []
