"""``environments/{api_key}/identities/{id}/featurestates/``."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment, UserEnvironmentPermission
from features.feature_states import services
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from projects.models import Project, UserProjectPermission
from segments.models import Segment
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

TAKEN = ["['Feature state already exists for this environment, feature, version, segment & identity combination']"]

MakeFeature = Callable[..., Feature]
Queries = Callable[[Callable[[], object]], int]
Versions = Callable[[], tuple[bool, int]]


@pytest.fixture
def overrides(path: str, identity: Identity) -> str:
    return f"{path}{identity.pk}/featurestates/"


@pytest.fixture
def other(environment: Environment) -> Identity:
    return Identity.objects.create(environment=environment, identifier="u2")


def override(identity: Identity, feature: Feature, value: Any = None, enabled: bool = True) -> FeatureState:
    state = FeatureState.objects.create(
        environment=identity.environment, feature=feature, identity=identity, enabled=enabled
    )
    FeatureStateValue.objects.create(feature_state=state, value=value)
    return state


def split(feature: Feature, state: FeatureState, **percentages: float) -> None:
    """Add options with these values and percentages to a feature state."""
    for value, percentage in percentages.items():
        option, _ = MultivariateFeatureOption.objects.get_or_create(feature=feature, string_value=value)
        MultivariateFeatureStateValue.objects.create(
            feature_state=state, multivariate_feature_option=option, percentage_allocation=percentage
        )


def read(identity: Identity) -> dict[str, Any]:
    """The identity's overrides by feature name: enabled, value, percentages."""
    return {
        state.feature.name: (
            state.enabled,
            state.feature_state_value.value,
            [each.percentage_allocation for each in state.multivariate_feature_state_values.all()],
        )
        for state in FeatureState.objects.filter(identity=identity)
    }


def test_create__scalar_value__response_as_in_flagsmith(
    admin: APIClient, overrides: str, feature: Feature, identity: Identity
) -> None:
    body = {"feature": feature.pk, "enabled": False, "feature_state_value": "mine"}
    response = admin.post(overrides, body, format="json")
    assert response.status_code == 201
    state = FeatureState.objects.get(identity=identity)
    assert list(response.json()) == [
        "id", "feature_state_value", "multivariate_feature_state_values", "deleted_at", "uuid", "enabled",
        "created_at", "updated_at", "live_from", "version", "feature", "environment", "identity", "feature_segment",
        "change_request", "environment_feature_version",
    ]  # fmt: skip
    assert response.json()["id"] == state.pk
    assert response.json()["feature_state_value"] == state.feature_state_value.value == "mine"
    assert (response.json()["identity"], response.json()["environment"]) == (identity.pk, identity.environment_id)


def test_create__override_exists__400_as_in_flagsmith(admin: APIClient, overrides: str, feature: Feature) -> None:
    assert admin.post(overrides, {"feature": feature.pk}, format="json").status_code == 201
    response = admin.post(overrides, {"feature": feature.pk}, format="json")
    assert (response.status_code, response.json()) == (400, TAKEN)


def test_create__without_feature__400_as_in_flagsmith(admin: APIClient, overrides: str) -> None:
    response = admin.post(overrides, {"enabled": True}, format="json")
    assert (response.status_code, response.json()) == (400, {"detail": "Feature not provided"})


def test_list__two_overrides__identity_as_an_object(
    admin: APIClient, overrides: str, make_feature: MakeFeature, identity: Identity, other: Identity
) -> None:
    first, second = make_feature("a"), make_feature("b")
    override(identity, first, 1), override(identity, second, 2), override(other, first, 3)
    response = admin.get(overrides).json()
    assert (response["count"], [each["feature_state_value"] for each in response["results"]]) == (2, [1, 2])
    assert response["results"][0]["identity"] == {"id": identity.pk, "identifier": "u1"}
    assert [each["feature"] for each in admin.get(overrides, {"feature": second.pk}).json()["results"]] == [second.pk]
    assert admin.get(overrides, {"feature": "x"}).status_code == 400


def test_put_patch_delete__an_override__as_for_an_environment_default(
    admin: APIClient, overrides: str, feature: Feature, identity: Identity
) -> None:
    state = override(identity, feature, "mine", enabled=False)
    one = f"{overrides}{state.pk}/"
    put = admin.put(one, {"feature": feature.pk, "enabled": True, "feature_state_value": 2}, format="json")
    assert (put.status_code, put.json()["id"], put.json()["feature_state_value"]) == (200, state.pk, 2)
    patch = admin.patch(one, {"enabled": False}, format="json")
    assert (patch.status_code, patch.json()) == (200, {"feature": feature.pk, "enabled": False})
    assert admin.get(one).json()["feature_state_value"] == 2
    response = admin.delete(one)
    assert (response.status_code, response.content) == (204, b"")
    assert not FeatureState.objects.filter(identity=identity).exists()


@pytest.mark.django_db(transaction=True)
def test_writes__each__new_revision_without_event(
    admin: APIClient, overrides: str, feature: Feature, other: Identity, versions: Versions
) -> None:
    override(other, feature, "theirs")
    versions()
    created = admin.post(overrides, {"feature": feature.pk, "feature_state_value": "mine"}, format="json").json()
    assert versions() == (False, 1)
    admin.put(f"{overrides}{created['id']}/", {"enabled": True, "feature_state_value": "my own"}, format="json")
    assert versions() == (False, 1)
    admin.put(f"{overrides}{created['id']}/", {"enabled": True, "feature_state_value": "my own"}, format="json")
    assert versions() == (False, 0)
    admin.delete(f"{overrides}{created['id']}/")
    assert versions() == (False, 1)
    for revisions in (1, 0):
        body = {"source_identity_id": other.pk}
        assert admin.post(f"{overrides}clone-from-given-identity/", body, format="json").status_code == 200
        assert versions() == (False, revisions)


def test_override__environment_with_v2_versioning__allowed(
    admin: APIClient, overrides: str, feature: Feature, environment: Environment
) -> None:
    Environment.objects.filter(pk=environment.pk).update(use_v2_feature_versioning=True)
    created = admin.post(overrides, {"feature": feature.pk}, format="json")
    assert created.status_code == 201
    one = f"{overrides}{created.json()['id']}/"
    assert admin.put(one, {"enabled": True}, format="json").status_code == 200
    assert admin.delete(one).status_code == 204


@pytest.mark.parametrize("body", [{"feature": 999}, {"feature": "x"}, {"feature": [1]}, {"feature": 1e300}, [], 5])
def test_create__bad_body__400(admin: APIClient, overrides: str, body: Any, feature: Feature) -> None:
    assert admin.post(overrides, body, format="json").status_code == 400
    assert not FeatureState.objects.exclude(identity=None).exists()


def test_create__feature_of_another_project__400(admin: APIClient, overrides: str, project: Project) -> None:
    other_project = Project.objects.create(name="Other", organisation=project.organisation)
    foreign = Feature.objects.create(name="f", project=other_project)
    response = admin.post(overrides, {"feature": foreign.pk}, format="json")
    assert (response.status_code, list(response.json())) == (400, ["feature"])


def test_all__default_segment_and_identity_override__deciding_override_shown(
    admin: APIClient,
    overrides: str,
    make_feature: MakeFeature,
    identity: Identity,
    segment: Segment,
) -> None:
    environment = identity.environment
    plain, of_segment, own, mv = (make_feature(name) for name in ("plain", "of_segment", "own", "mv"))
    Feature.objects.filter(pk=mv.pk).update(type="MULTIVARIATE")
    Trait.objects.create(identity=identity, trait_key="plan", trait_value="pro")
    for feature in (of_segment, own):
        feature_segment = FeatureSegment.objects.create(segment=segment, environment=environment, feature=feature)
        services.create_state(environment, feature=feature, feature_segment=feature_segment, enabled=True)
    override(identity, own, "mine", enabled=False)
    split(mv, FeatureState.objects.get(feature=mv), a=100, b=0)
    flags = admin.get(f"{overrides}all/")
    assert flags.status_code == 200
    assert flags.json() == [
        {
            "feature": {"id": plain.pk, "name": "plain", "type": "STANDARD"},
            "enabled": False,
            "feature_state_value": None,
            "overridden_by": None,
            "segment": None,
            "multivariate_feature_state_values": [],
        },
        {
            "feature": {"id": of_segment.pk, "name": "of_segment", "type": "STANDARD"},
            "enabled": True,
            "feature_state_value": None,
            "overridden_by": "SEGMENT",
            "segment": {"id": segment.pk, "name": segment.name},
            "multivariate_feature_state_values": [],
        },
        {
            "feature": {"id": own.pk, "name": "own", "type": "STANDARD"},
            "enabled": False,
            "feature_state_value": "mine",
            "overridden_by": "IDENTITY",
            "segment": None,
            "multivariate_feature_state_values": [],
        },
        {
            "feature": {"id": mv.pk, "name": "mv", "type": "MULTIVARIATE"},
            "enabled": False,
            "feature_state_value": "a",
            "overridden_by": None,
            "segment": None,
            "multivariate_feature_state_values": [
                {"multivariate_feature_option": {"value": "a"}, "percentage_allocation": 100.0},
                {"multivariate_feature_option": {"value": "b"}, "percentage_allocation": 0.0},
            ],
        },
    ]
    assert list(flags.json()[0]) == [
        "feature", "enabled", "feature_state_value", "overridden_by", "segment", "multivariate_feature_state_values",
    ]  # fmt: skip


def test_all__disabled_flags_hidden__left_out(
    admin: APIClient, overrides: str, make_feature: MakeFeature, environment: Environment
) -> None:
    make_feature("off")
    make_feature("on", default_enabled=True)
    Environment.objects.filter(pk=environment.pk).update(hide_disabled_flags=True)
    assert [each["feature"]["name"] for each in admin.get(f"{overrides}all/").json()] == ["on"]


def test_clone__other_overrides__replaced_by_those_of_the_source(
    admin: APIClient, overrides: str, make_feature: MakeFeature, identity: Identity, other: Identity
) -> None:
    both, new, removed, mv = (make_feature(name) for name in ("both", "new", "removed", "mv"))
    existing = override(identity, both, 1, enabled=False)
    split(both, existing, old=30)
    override(identity, removed, "x")
    override(other, both, "two")
    override(other, new, True, enabled=False)
    split(mv, override(other, mv, "c"), a=30, b=20)
    response = admin.post(
        f"{overrides}clone-from-given-identity/", {"source_identity_id": str(other.pk)}, format="json"
    )
    assert response.status_code == 200
    assert response.json() == admin.get(f"{overrides}all/").json()
    assert [each["overridden_by"] for each in response.json()] == ["IDENTITY", "IDENTITY", None, "IDENTITY"]
    assert read(identity) == read(other) == {
        "both": (True, "two", []),
        "new": (False, True, []),
        "mv": (True, "c", [30, 20]),
    }  # fmt: skip
    assert FeatureState.objects.get(identity=identity, feature=both).pk == existing.pk


def test_clone__source_without_overrides__none_are_left(
    admin: APIClient, overrides: str, feature: Feature, identity: Identity, other: Identity
) -> None:
    override(identity, feature)
    body = {"source_identity_id": other.pk}
    assert admin.post(f"{overrides}clone-from-given-identity/", body, format="json").status_code == 200
    assert read(identity) == {}


def test_clone__more_overrides__same_number_of_queries(
    admin: APIClient, path: str, make_feature: MakeFeature, environment: Environment, queries: Queries
) -> None:
    features = [make_feature(f"f{number}") for number in range(20)]

    def clone(count: int) -> int:
        source, target = (
            Identity.objects.create(environment=environment, identifier=f"{count} {role}") for role in ("from", "to")
        )
        for feature in features[: count * 2]:
            split(feature, override(source, feature, "v"), a=10)
        for feature in features[count : count * 3]:
            split(feature, override(target, feature, "w"), a=10)
        target_path = f"{path}{target.pk}/featurestates/clone-from-given-identity/"
        return queries(lambda: admin.post(target_path, {"source_identity_id": source.pk}, format="json"))

    assert clone(1) == clone(6)


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"source_identity_id": "x"}, 400), ({"source_identity_id": None}, 400), ([], 400),
     ({"source_identity_id": 999}, 404), ({"source_identity_id": 10**30}, 404)],
)  # fmt: skip
def test_clone__bad_or_unknown_source__4xx(admin: APIClient, overrides: str, body: Any, status: int) -> None:
    assert admin.post(f"{overrides}clone-from-given-identity/", body, format="json").status_code == status


def test_clone__source_in_another_environment__404(admin: APIClient, overrides: str, production: Environment) -> None:
    foreign_identity = Identity.objects.create(environment=production, identifier="u1")
    body = {"source_identity_id": foreign_identity.pk}
    response = admin.post(f"{overrides}clone-from-given-identity/", body, format="json")
    assert (response.status_code, response.json()) == (404, {"detail": "No Identity matches the given query."})


def test_permissions__by_key__as_in_the_table(
    member: APIClient, member_user: FFAdminUser, overrides: str, feature: Feature, identity: Identity
) -> None:
    state = override(identity, feature)
    one = f"{overrides}{state.pk}/"
    assert member.get(overrides).status_code == 404
    UserProjectPermission.objects.create(user=member_user, project=feature.project).permissions.set(["VIEW_PROJECT"])
    mine = UserEnvironmentPermission.objects.create(user=member_user, environment=identity.environment)
    mine.permissions.set(["VIEW_ENVIRONMENT"])
    for target in (overrides, one, f"{overrides}all/"):
        assert member.get(target).status_code == 200
    writes = (
        ("post", overrides, {"feature": feature.pk}, 400),
        ("put", one, {}, 200),
        ("patch", one, {}, 200),
        ("post", f"{overrides}clone-from-given-identity/", {"source_identity_id": identity.pk}, 200),
        ("delete", one, {}, 204),
    )
    for method, target, body, _ in writes:
        assert getattr(member, method)(target, body, format="json").status_code == 403
    mine.permissions.add("UPDATE_FEATURE_STATE")
    for method, target, body, status in writes:
        assert getattr(member, method)(target, body, format="json").status_code == status


def test_all_endpoints__other_tenant_or_environment__404(
    admin: APIClient,
    outsider: APIClient,
    anonymous: APIClient,
    overrides: str,
    feature: Feature,
    identity: Identity,
    other: Identity,
    production: Environment,
) -> None:
    state = override(identity, feature)
    other_environment_path = f"/api/v1/environments/{production.api_key}/identities/{identity.pk}/featurestates/"
    of_another = overrides.replace(f"/{identity.pk}/", f"/{other.pk}/")
    calls = [("get", ""), ("post", ""), ("get", "all/"), ("post", "clone-from-given-identity/")]
    single = [(method, f"{state.pk}/") for method in ("get", "put", "patch", "delete")]
    for method, rest in (*calls, *single):
        body = {"feature": feature.pk, "source_identity_id": identity.pk}
        sent = {} if method == "get" else {"format": "json"}
        assert getattr(outsider, method)(overrides + rest, body, **sent).status_code == 404
        assert getattr(anonymous, method)(overrides + rest).status_code == 401
        assert getattr(admin, method)(other_environment_path + rest, body, **sent).status_code == 404
    for method, rest in single:
        assert getattr(admin, method)(of_another + rest).status_code == 404
