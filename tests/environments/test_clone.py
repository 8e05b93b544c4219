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
from tests.support.heard import listening
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


def override(state: FeatureState, segment: Segment, value: object, priority: int, **fields: object) -> FeatureState:
    """Override the state's feature, in its environment, for a segment."""
    place = FeatureSegment.objects.create(
        feature=state.feature, segment=segment, environment=state.environment, priority=priority
    )
    made = FeatureState.objects.create(
        feature=state.feature, environment=state.environment, feature_segment=place, enabled=True, **fields
    )
    stored = FeatureStateValue(feature_state=made)
    stored.value = value
    stored.save()
    return made


def contents(environment: Environment) -> list[tuple[object, ...]]:
    """What an environment says of its project's features, without the numbers of the rows."""
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
def furnished(environment: Environment, segment: Segment, make_feature: Callable[..., Feature]) -> Environment:
    """An environment with a value of two types, shares, two overrides, a draft of another, an identity's and a key."""
    plain, split = make_feature("plain", initial_value="12"), make_feature("split", type="MULTIVARIATE")
    state = FeatureState.objects.get(feature=plain)
    state.feature_state_value.value = "text"
    state.feature_state_value.save()
    other = Segment.objects.create(name="other", project=environment.project)
    override(state, segment, True, priority=1)
    shares_of = [FeatureState.objects.get(feature=split), override(state, other, "b", priority=0)]
    for text in ("x", "y"):
        option = MultivariateFeatureOption.objects.create(feature=split, string_value=text)
        for each in shares_of:
            MultivariateFeatureStateValue.objects.create(
                feature_state=each, multivariate_feature_option=option, percentage_allocation=each.pk
            )
    drafted = Segment.objects.create(name="drafted", project=environment.project)
    override(state, drafted, "draft", priority=2, version=None)
    identity = Identity.objects.create(identifier="u1", environment=environment)
    FeatureState.objects.create(feature=plain, environment=environment, identity=identity)
    EnvironmentAPIKey.objects.create(environment=environment, name="secret")
    return environment


def test_clone__settings_defaults_and_overrides__as_in_the_source(admin: APIClient, furnished: Environment) -> None:
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

    made = clone(admin, furnished)

    assert (made.name, made.project_id) == ("Clone", furnished.project_id)
    assert {name: getattr(made, name) for name in settings} == settings
    assert contents(made) == contents(furnished)
    assert len(contents(made)) == 4


def test_clone__identities_drafts_and_keys__are_not_copied(
    admin: APIClient, user: FFAdminUser, furnished: Environment
) -> None:
    made = clone(admin, furnished, clone_feature_states_async=True)

    assert not made.is_creating
    assert not made.identities.exists()
    assert not made.api_keys.exists()
    assert not FeatureState.objects.filter(environment=made, version=None).exists()
    assert FeatureSegment.objects.filter(environment=made).count() == 2
    assert made.api_key != furnished.api_key
    assert made.uuid != furnished.uuid
    assert UserEnvironmentPermission.objects.get(environment=made).user == user


def test_clone__changed__source_stays(admin: APIClient, furnished: Environment) -> None:
    before = contents(furnished)
    made = clone(admin, furnished)

    FeatureSegment.objects.filter(environment=made).delete()
    FeatureStateValue.objects.filter(feature_state__environment=made).update(string_value="other")

    assert contents(furnished) == before


def test_clone__name_taken__refused(admin: APIClient, environment: Environment, production: Environment) -> None:
    for body, answer in (
        ({"name": "Production"}, {"non_field_errors": ["An environment with this name already exists."]}),
        ({}, {"name": ["This field is required."]}),
    ):
        response = admin.post(f"/api/v1/environments/{environment.api_key}/clone/", body, format="json")
        assert (response.status_code, response.json()) == (400, answer)
    assert Environment.objects.count() == 2


def test_clone__by_a_member__needs_to_see_it_and_to_create(
    member: APIClient, member_user: FFAdminUser, environment: Environment
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/clone/"
    environment.project.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT", "CREATE_ENVIRONMENT"])
    assert member.post(path, {"name": "Clone"}, format="json").status_code == 404

    environment.userpermission.create(user=member_user).permissions.set(["VIEW_ENVIRONMENT"])
    assert member.post(path, {"name": "Clone"}, format="json").status_code == 200


def test_clone__more_to_copy__no_more_queries(
    admin: APIClient, furnished: Environment, make_feature: Callable[..., Feature]
) -> None:
    with CaptureQueriesContext(connection) as few:
        clone(admin, furnished)
    for number in range(10):
        feature = make_feature(f"feature {number}")
        segment = Segment.objects.create(name=str(number), project=furnished.project)
        override(FeatureState.objects.get(feature=feature, environment=furnished), segment, "v", priority=number)

    with CaptureQueriesContext(connection) as many:
        made = clone(admin, furnished, name="Second")

    assert len(contents(made)) == 24
    assert len(many) == len(few)


@pytest.mark.django_db(transaction=True)
def test_clone__made__source_and_siblings_hear_nothing(
    admin: APIClient, furnished: Environment, production: Environment
) -> None:
    before = {each.pk: (each.updated_at, each.revision) for each in Environment.objects.all()}

    with listening(furnished, production) as heard:
        made = clone(admin, furnished)

    assert heard.events == []
    after = {each.pk: (each.updated_at, each.revision) for each in Environment.objects.exclude(pk=made.pk)}
    assert after == before
