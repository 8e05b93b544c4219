from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment, EnvironmentAPIKey, UserEnvironmentPermission
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from segments.models import Segment
from tests.support.events import recorded_events
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


def override(state: FeatureState, segment: Segment, value: object, priority: int, **fields: object) -> FeatureState:
    """Override the state's feature in its environment for a segment."""
    feature_segment = FeatureSegment.objects.create(
        feature=state.feature, segment=segment, environment=state.environment, priority=priority
    )
    created = FeatureState.objects.create(
        feature=state.feature, environment=state.environment, feature_segment=feature_segment, enabled=True, **fields
    )
    row = FeatureStateValue(feature_state=created)
    row.value = value
    row.save()
    return created


def contents(environment: Environment) -> list[tuple[object, ...]]:
    """The states of an environment without their primary keys."""
    states = FeatureState.objects.filter(environment=environment, version__isnull=False, identity=None)
    return [
        (
            state.feature_id,
            state.enabled,
            state.feature_segment and (state.feature_segment.segment_id, state.feature_segment.priority),
            FeatureStateValue.objects.values_list("type", "string_value", "integer_value", "boolean_value").get(
                feature_state=state
            ),
            list(
                state.multivariate_feature_state_values.values_list(
                    "multivariate_feature_option", "percentage_allocation"
                )
            ),
        )
        for state in states.select_related("feature_segment").order_by("pk")
    ]


def clone(client: APIClient, environment: Environment, **body: object) -> Environment:
    response = client.post(
        f"/api/v1/environments/{environment.api_key}/clone/", {"name": "Clone", **body}, format="json"
    )
    assert response.status_code == 200, response.content
    return Environment.objects.get(api_key=response.json()["api_key"])


@pytest.fixture
def source(environment: Environment, segment: Segment, make_feature: Callable[..., Feature]) -> Environment:
    """An environment with values, shares, two segment overrides, a draft, an identity override and a server key."""
    plain, split = make_feature("plain", initial_value="12"), make_feature("split", type="MULTIVARIATE")
    state = FeatureState.objects.get(feature=plain)
    state.feature_state_value.value = "text"
    state.feature_state_value.save()
    other = Segment.objects.create(name="other", project=environment.project)
    override(state, segment, True, priority=1)
    states_with_shares = [FeatureState.objects.get(feature=split), override(state, other, "b", priority=0)]
    for text in ("x", "y"):
        option = MultivariateFeatureOption.objects.create(feature=split, string_value=text)
        for each in states_with_shares:
            MultivariateFeatureStateValue.objects.create(
                feature_state=each, multivariate_feature_option=option, percentage_allocation=each.pk
            )
    drafted = Segment.objects.create(name="drafted", project=environment.project)
    override(state, drafted, "draft", priority=2, version=None)
    identity = Identity.objects.create(identifier="u1", environment=environment)
    FeatureState.objects.create(feature=plain, environment=environment, identity=identity)
    EnvironmentAPIKey.objects.create(environment=environment, name="secret")
    return environment


def test_clone__settings_defaults_and_overrides__copied(admin: APIClient, source: Environment) -> None:
    settings = {
        "description": "d",
        "minimum_change_request_approvals": 1,
        "allow_client_traits": False,
        "banner_text": "careful",
        "banner_colour": "#ff0000",
        "hide_disabled_flags": True,
        "use_identity_composite_key_for_hashing": False,
        "hide_sensitive_data": True,
        "use_identity_overrides_in_local_eval": False,
    }
    Environment.objects.update(**settings)

    copy = clone(admin, source)

    assert (copy.name, copy.project_id) == ("Clone", source.project_id)
    assert {name: getattr(copy, name) for name in settings} == settings
    assert contents(copy) == contents(source)
    assert len(contents(copy)) == 4


def test_clone__identities_drafts_and_keys__not_copied(
    admin: APIClient, user: FFAdminUser, source: Environment
) -> None:
    copy = clone(admin, source, clone_feature_states_async=True)

    assert not copy.is_creating
    assert not copy.identities.exists()
    assert not copy.api_keys.exists()
    assert not FeatureState.objects.filter(environment=copy, version=None).exists()
    assert FeatureSegment.objects.filter(environment=copy).count() == 2
    assert copy.api_key != source.api_key
    assert copy.uuid != source.uuid
    assert UserEnvironmentPermission.objects.get(environment=copy).user == user


def test_clone__changed__source_does_not_change(admin: APIClient, source: Environment) -> None:
    before = contents(source)
    copy = clone(admin, source)

    FeatureSegment.objects.filter(environment=copy).delete()
    FeatureStateValue.objects.filter(feature_state__environment=copy).update(string_value="other")

    assert contents(source) == before


def test_clone__name_exists_or_is_missing__400(
    admin: APIClient, environment: Environment, production: Environment
) -> None:
    for body, errors in (
        ({"name": "Production"}, {"non_field_errors": ["An environment with this name already exists."]}),
        ({}, {"name": ["This field is required."]}),
    ):
        response = admin.post(f"/api/v1/environments/{environment.api_key}/clone/", body, format="json")
        assert (response.status_code, response.json()) == (400, errors)
    assert Environment.objects.count() == 2


def test_clone__by_a_member__requires_view_environment_and_create_environment(
    member: APIClient, member_user: FFAdminUser, environment: Environment
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/clone/"
    environment.project.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT", "CREATE_ENVIRONMENT"])
    assert member.post(path, {"name": "Clone"}, format="json").status_code == 404

    environment.userpermission.create(user=member_user).permissions.set(["VIEW_ENVIRONMENT"])
    assert member.post(path, {"name": "Clone"}, format="json").status_code == 200


def test_clone__more_rows_to_copy__same_number_of_queries(
    admin: APIClient, source: Environment, make_feature: Callable[..., Feature]
) -> None:
    with CaptureQueriesContext(connection) as before:
        clone(admin, source)
    for number in range(10):
        feature = make_feature(f"feature {number}")
        segment = Segment.objects.create(name=str(number), project=source.project)
        override(FeatureState.objects.get(feature=feature, environment=source), segment, "v", priority=number)

    with CaptureQueriesContext(connection) as after:
        copy = clone(admin, source, name="Second")

    assert len(contents(copy)) == 24
    assert len(after) == len(before)


@pytest.mark.django_db(transaction=True)
def test_clone__created__no_event_for_source_and_other_environments(
    admin: APIClient, source: Environment, production: Environment
) -> None:
    before = {each.pk: (each.updated_at, each.revision) for each in Environment.objects.all()}

    with recorded_events(source, production) as recorded:
        copy = clone(admin, source)

    assert recorded.events == []
    after = {each.pk: (each.updated_at, each.revision) for each in Environment.objects.exclude(pk=copy.pk)}
    assert after == before
