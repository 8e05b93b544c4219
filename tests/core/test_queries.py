"""The number of queries does not grow with what there is: each kind of write, among little and among much.

"Little" and "much" are of everything that could count: environments, features, options, segments, rules, conditions,
identities, traits, overrides, members, tags, change requests; and what a body lists is as long.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from features.models import FeatureSegment, FeatureState
from tests.core.crowd import Crowd
from users.models import FFAdminUser

# The first is only there to warm up what Django and the product keep.
SIZES = (1, 2, 4)

FAR = "2100-01-01T00:00:00Z"
TEXT = {"type": "unicode", "string_value": "blue"}
REQUESTS = "features/workflows/change-requests/"


class Script:
    """Calls in a crowd, whose queries are counted by name."""

    def __init__(self, client: APIClient, crowd: Crowd) -> None:
        self.client = client
        self.crowd = crowd
        self.counts: dict[str, int] = {}
        self.of_organisation = f"organisations/{crowd.organisation.pk}/"
        self.of_project = f"projects/{crowd.project.pk}/"
        self.of_environment = f"environments/{crowd.environment.api_key}/"

    def call(self, name: str, method: str, path: str, body: Any = None) -> Any:
        with CaptureQueriesContext(connection) as queries:
            answer = getattr(self.client, method)(f"/api/v1/{path}", body, format="json")
        assert answer.status_code < 300, f"{name}: {answer.status_code} {answer.content!r}"
        assert name not in self.counts
        self.counts[name] = len(queries)
        return answer.json() if answer.content else None

    def life(self, kind: str, path: str, body: Any, *changes: Any, key: str = "id") -> None:
        """Created, changed by each of these bodies, deleted."""
        made = self.call(f"{kind}: created", "post", path, body)
        for number, change in enumerate(changes):
            self.call(f"{kind}: changed {number}", "put", f"{path}{made[key]}/", change)
        self.call(f"{kind}: deleted", "delete", f"{path}{made[key]}/")


def tenants(do: Script) -> None:
    crowd = do.crowd
    do.life("organisation", "organisations/", {"name": "n"}, {"name": "m"})
    body = {"name": "n", "organisation": crowd.organisation.pk}
    do.life("project", "projects/", body, {**body, "name": "m", "hide_disabled_flags": True})
    do.call("organisation of a crowd: changed", "patch", do.of_organisation, {"persist_trait_data": False})
    do.call("project of a crowd: changed", "patch", do.of_project, {"hide_disabled_flags": True})
    body = {"name": "n", "project": crowd.project.pk}
    do.life("environment", "environments/", body, {**body, "hide_disabled_flags": True}, key="api_key")
    do.call("environment of a crowd: changed", "patch", do.of_environment, {"hide_disabled_flags": True})
    do.call("environment: cloned", "post", f"{do.of_environment}clone/", {"name": "c"})
    do.life("server key", f"{do.of_environment}api-keys/", {"name": "n"}, {"name": "m"})
    do.life("master key", f"{do.of_organisation}master-api-keys/", {"name": "n"}, key="prefix")
    do.life("tag", f"{do.of_project}tags/", {"label": "l", "color": "#000000"}, {"label": "m", "color": "#000000"})
    do.call("tag of a crowd: deleted", "delete", f"{do.of_project}tags/{crowd.tags[0].pk}/")


def people(do: Script) -> None:
    member = do.crowd.newcomer.pk
    for scope, path, keys in (
        ("organisation", do.of_organisation, ["CREATE_PROJECT", "MANAGE_USER_GROUPS"]),
        ("project", do.of_project, ["VIEW_PROJECT", "CREATE_FEATURE", "DELETE_FEATURE"]),
        ("environment", do.of_environment, ["VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE"]),
    ):
        few, many = ({"user": member, "permissions": some} for some in (keys[:1], keys))
        do.life(f"permission of {scope}", f"{path}user-permissions/", few, many, few)
    do.call("member: promoted", "post", f"{do.of_organisation}users/{member}/update-role/", {"role": "ADMIN"})
    everybody = [{"id": each.pk} for each in do.crowd.members]
    do.call("members: removed", "post", f"{do.of_organisation}remove-users/", everybody)


def features(do: Script) -> None:
    crowd = do.crowd
    path = f"{do.of_project}features/"
    option = {"type": "unicode", "string_value": "o", "default_percentage_allocation": 1}
    body = {
        "name": "n",
        "initial_value": "v",
        "tags": [each.pk for each in crowd.tags],
        "owners": [each.pk for each in crowd.members],
        "multivariate_options": [option] * crowd.size,
    }
    do.life("feature", path, body, {**body, "description": "d", "multivariate_options": [option] * (crowd.size + 1)})
    of_feature = f"{path}{crowd.features[0].pk}/"
    for kind, change in (
        ("described", {"description": "d"}),
        ("renamed", {"name": "renamed"}),
        ("untagged", {"tags": []}),
    ):
        do.call(f"feature of a crowd: {kind}", "patch", of_feature, change)
    do.life("option", f"{of_feature}mv-options/", option, {**option, "string_value": "p"})
    do.call("option of a crowd: deleted", "delete", f"{of_feature}mv-options/{crowd.options[0].pk}/")
    do.call("feature of a crowd: deleted", "delete", of_feature)


def states(do: Script) -> None:
    crowd = do.crowd
    path = f"{do.of_environment}featurestates/"
    state, feature = crowd.state(), crowd.features[0]
    shares = "multivariate_feature_state_values"
    do.call("state: toggled", "patch", f"{path}{state.pk}/", {"enabled": True})
    do.call("state: given a value", "put", f"{path}{state.pk}/", {"feature_state_value": "v"})
    do.call("state: given shares", "put", f"{path}{state.pk}/", {shares: crowd.shares(0, 2)})
    body = {"environment": crowd.environment.pk, "feature": feature.pk, "enabled": False, "feature_state_value": TEXT}
    do.call("state: as an object", "put", f"features/featurestates/{state.pk}/", {**body, shares: crowd.shares(0, 3)})
    do.call("state: deleted", "delete", f"{path}{state.pk}/")
    do.call("state: created", "post", path, {"feature": feature.pk, "enabled": True, shares: crowd.shares(0, 4)})


def segments(do: Script) -> None:
    crowd = do.crowd
    path = f"{do.of_project}segments/"
    do.life("segment", path, {"name": "n", "rules": crowd.rules("a")}, {"name": "n", "rules": crowd.rules("b")})
    of_segment = f"{path}{crowd.segments[0].pk}/"
    do.call("segment of a crowd: changed", "put", of_segment, {"name": "s", "rules": crowd.rules("c")})
    do.call("segment of a crowd: renamed", "patch", of_segment, {"name": "t"})
    do.call("segment of a crowd: cloned", "post", f"{of_segment}clone/", {"name": "u"})
    do.call("segment of a crowd: deleted", "delete", of_segment)


def overrides(do: Script) -> None:
    crowd = do.crowd
    path = "features/feature-segments/"
    feature, environment = crowd.features[0].pk, crowd.environment.pk
    names = {"feature": feature, "environment": environment}
    new = [
        do.call(f"(segment {n})", "post", f"{do.of_project}segments/", {"name": "n", "rules": crowd.rules("n")})["id"]
        for n in (1, 2)
    ]
    place = do.call("override, first step: created", "post", path, {**names, "segment": new[0]})["id"]
    body = {**names, "feature_segment": place, "enabled": True, "feature_state_value": TEXT}
    state = do.call("override, second step: created", "post", "features/featurestates/", body)["id"]
    body = {**body, "feature_state_value": {"type": "unicode", "string_value": "red"}, "enabled": False}
    do.call("override: changed", "put", f"features/featurestates/{state}/", body)
    do.call("override: given to another", "put", f"{path}{place}/", {**names, "segment": new[1]})
    one_step = {
        "feature_segment": {"segment": new[0], "priority": 0},
        "enabled": True,
        "feature_state_value": TEXT,
        "multivariate_feature_state_values": crowd.shares(0, 2),
    }
    create = f"{do.of_environment}features/{feature}/create-segment-override/"
    made = do.call("override, one step and the first of all: created", "post", create, one_step)
    places = FeatureSegment.objects.filter(feature=feature, environment=environment).order_by("-priority")
    reversed_ = [{"id": pk, "priority": number} for number, pk in enumerate(places.values_list("pk", flat=True))]
    do.call("overrides: reordered", "post", f"{path}update-priorities/", reversed_)
    for number, pk in enumerate((place, made["feature_segment"]["id"])):
        do.call(f"override: deleted {number}", "delete", f"{path}{pk}/")


def identities(do: Script) -> None:
    crowd = do.crowd
    path = f"{do.of_environment}identities/"
    do.life("identity", path, {"identifier": "n"}, {"identifier": "m"})
    one = crowd.identities[0].pk
    other = do.call("identity: created beside", "post", path, {"identifier": "o"})["id"]
    trait = {"trait_key": "new", "value_type": "unicode", "string_value": "v"}
    do.life("trait", f"{path}{one}/traits/", trait, {**trait, "string_value": "w"})
    of_all = crowd.identities[0].identity_traits.get(trait_key="t0").pk
    do.call("trait: deleted everywhere", "delete", f"{path}{one}/traits/{of_all}/?deleteAllMatchingTraits=true")
    do.call("traits: deleted", "post", f"{do.of_environment}delete-traits/", {"key": f"t{crowd.size - 1}"})
    body = {"feature": crowd.features[0].pk, "enabled": True, "feature_state_value": "v"}
    do.life("override of an identity", f"{path}{other}/featurestates/", body, {**body, "feature_state_value": "w"})
    clone = f"{path}{other}/featurestates/clone-from-given-identity/"
    do.call("overrides of an identity: cloned", "post", clone, {"source_identity_id": one})
    state = FeatureState.objects.filter(identity=one)[0].pk
    do.call("override of an identity in a crowd: changed", "put", f"{path}{one}/featurestates/{state}/", body)
    do.call("identity of a crowd: renamed", "put", f"{path}{one}/", {"identifier": "renamed"})
    do.call("identity of a crowd: deleted", "delete", f"{path}{one}/")


def change_requests(do: Script) -> None:
    crowd = do.crowd
    create = f"{do.of_environment}create-change-request/"
    reviewers = [{"user": each.pk} for each in crowd.members]
    places = FeatureSegment.objects.filter(environment=crowd.environment)

    def body(value: str, live_from: str | None = None) -> Any:
        """A state for each feature, and for each override."""
        state = {
            "enabled": True,
            "feature_state_value": {"type": "unicode", "string_value": value},
            "live_from": live_from,
        }
        shares = {feature.pk: crowd.shares(number, 3) for number, feature in enumerate(crowd.features)}
        states = [
            {
                "feature": feature,
                "feature_segment": place,
                "multivariate_feature_state_values": shares[feature],
                **state,
            }
            for feature, place in [
                *((feature.pk, None) for feature in crowd.features),
                *places.values_list("feature", "pk"),
            ]
        ]
        return {"title": "t", "feature_states": states, "approvals": reviewers}

    made = do.call("change request: created", "post", create, body("a"))["id"]
    own = f"{REQUESTS}{made}/"
    do.call("change request: changed", "put", own, body("b"))
    do.call("change request: committed", "post", f"{own}commit/")
    made = do.call("change request: created again", "post", create, body("c"))["id"]
    do.call("change request: deleted", "delete", f"{REQUESTS}{made}/")
    made = do.call("change request: scheduled, created", "post", create, body("d", FAR))["id"]
    do.call("change request: scheduled, committed", "post", f"{REQUESTS}{made}/commit/")
    do.call("change request: scheduled, deleted", "delete", f"{REQUESTS}{made}/")


def segment_change_requests(do: Script) -> None:
    crowd = do.crowd
    path = f"{do.of_project}change-requests/"
    reviewers = [{"user": each.pk} for each in crowd.members]

    def body(value: str) -> Any:
        """Every segment is to become another one."""
        wanted = [{"name": value, "rules": crowd.rules(value), "version_of": each.pk} for each in crowd.segments]
        return {"title": "t", "segments": wanted, "approvals": reviewers}

    made = do.call("segments' change request: created", "post", path, body("a"))["id"]
    do.call("segments' change request: changed", "put", f"{path}{made}/", body("b"))
    do.call("segments' change request: committed", "post", f"{path}{made}/commit/")
    made = do.call("segments' change request: created again", "post", path, body("c"))["id"]
    do.call("segments' change request: deleted", "delete", f"{path}{made}/")


def whole_crowds(do: Script) -> None:
    do.call("environment of a crowd: deleted", "delete", f"environments/{do.crowd.environments[-1].api_key}/")
    do.call("project of a crowd: deleted", "delete", do.of_project)
    do.call("organisation of a crowd: deleted", "delete", do.of_organisation)


SCRIPTS = (
    tenants,
    people,
    features,
    states,
    segments,
    overrides,
    identities,
    change_requests,
    segment_change_requests,
    whole_crowds,
)


# Real commits: in a test's own transaction an announcement that waits already would spare the next its queries.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_writes__among_much__as_many_queries_as_among_little(
    admin: APIClient, user: FFAdminUser, script: Callable[[Script], None]
) -> None:
    counts = []
    for size in SIZES:
        do = Script(admin, Crowd(user, size))
        script(do)
        counts.append(do.counts)
    _, little, much = counts
    assert much == little


# The models whose rows go raw (features, segments, identities, states), and what refers to them, which goes before.
REFERRING = {
    "features.Feature": {
        "features.Feature_tags",
        "features.Feature_owners",
        "features.Feature_group_owners",
        "features.FeatureSegment",
        "features.FeatureState",
        "multivariate.MultivariateFeatureOption",
        "segments.Segment",
    },
    "features.FeatureSegment": {"features.FeatureState"},
    "features.FeatureState": {"features.FeatureStateValue", "multivariate.MultivariateFeatureStateValue"},
    "identities.Identity": {"traits.Trait", "features.FeatureState"},
    "multivariate.MultivariateFeatureOption": {"multivariate.MultivariateFeatureStateValue"},
    "segments.Segment": {"features.FeatureSegment", "segments.SegmentRule", "workflows_core.SegmentChange"},
    "segments.SegmentRule": {"segments.SegmentRule", "segments.Condition"},
    "workflows_core.ChangeRequest": {
        "features.FeatureState",
        "workflows_core.ChangeRequestApproval",
        "workflows_core.PlannedChange",
        "workflows_core.SegmentChange",
    },
}


@pytest.mark.parametrize("label", REFERRING)
def test_raw_deletions__whatever_refers_to_the_rows__is_known(label: str) -> None:
    """A new model that does must be removed too: environments/services.py, projects/services.py, and who calls them."""
    fields = apps.get_model(label)._meta.get_fields(include_hidden=True)
    relations = [field for field in fields if field.one_to_many or field.one_to_one]
    assert {field.related_model._meta.label for field in relations if field.auto_created} == REFERRING[label]
