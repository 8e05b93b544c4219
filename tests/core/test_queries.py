"""The number of queries of each kind of write does not depend on the amount of data.

The amount of everything grows: environments, features, options, segments, rules, conditions, identities, traits,
overrides, members, tags, change requests, and the lists in request bodies.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from features.models import FeatureSegment, FeatureState
from tests.core.tenant_of_size import TenantOfSize
from users.models import FFAdminUser

pytestmark = pytest.mark.slow

# The first size only warms up caches of Django and the product.
SIZES = (1, 2, 4)

DISTANT_FUTURE = "2100-01-01T00:00:00Z"
TEXT = {"type": "unicode", "string_value": "blue"}
REQUESTS = "features/workflows/change-requests/"


class CountedRequests:
    """Requests to one tenant, whose queries are counted by name."""

    def __init__(self, client: APIClient, tenant: TenantOfSize) -> None:
        self.client = client
        self.tenant = tenant
        self.counts: dict[str, int] = {}
        self.of_organisation = f"organisations/{tenant.organisation.pk}/"
        self.of_project = f"projects/{tenant.project.pk}/"
        self.of_environment = f"environments/{tenant.environment.api_key}/"

    def send(self, name: str, method: str, path: str, body: Any = None) -> Any:
        with CaptureQueriesContext(connection) as queries:
            answer = getattr(self.client, method)(f"/api/v1/{path}", body, format="json")
        assert answer.status_code < 300, f"{name}: {answer.status_code} {answer.content!r}"
        assert name not in self.counts
        self.counts[name] = len(queries)
        return answer.json() if answer.content else None

    def create_change_delete(self, kind: str, path: str, body: Any, *changes: Any, key: str = "id") -> None:
        """Create an object, change it with each of these bodies, and delete it."""
        made = self.send(f"{kind}: created", "post", path, body)
        for number, change in enumerate(changes):
            self.send(f"{kind}: changed {number}", "put", f"{path}{made[key]}/", change)
        self.send(f"{kind}: deleted", "delete", f"{path}{made[key]}/")


def tenants(requests: CountedRequests) -> None:
    tenant = requests.tenant
    requests.create_change_delete("organisation", "organisations/", {"name": "n"}, {"name": "m"})
    body = {"name": "n", "organisation": tenant.organisation.pk}
    requests.create_change_delete("project", "projects/", body, {**body, "name": "m", "hide_disabled_flags": True})
    requests.send("populated organisation: changed", "patch", requests.of_organisation, {"persist_trait_data": False})
    requests.send("populated project: changed", "patch", requests.of_project, {"hide_disabled_flags": True})
    body = {"name": "n", "project": tenant.project.pk}
    requests.create_change_delete(
        "environment", "environments/", body, {**body, "hide_disabled_flags": True}, key="api_key"
    )
    requests.send("populated environment: changed", "patch", requests.of_environment, {"hide_disabled_flags": True})
    requests.send("environment: cloned", "post", f"{requests.of_environment}clone/", {"name": "c"})
    requests.create_change_delete("server key", f"{requests.of_environment}api-keys/", {"name": "n"}, {"name": "m"})
    requests.create_change_delete(
        "master key", f"{requests.of_organisation}master-api-keys/", {"name": "n"}, key="prefix"
    )
    requests.create_change_delete(
        "tag", f"{requests.of_project}tags/", {"label": "l", "color": "#000000"}, {"label": "m", "color": "#000000"}
    )
    requests.send("populated tag: deleted", "delete", f"{requests.of_project}tags/{tenant.tags[0].pk}/")


def people(requests: CountedRequests) -> None:
    member = requests.tenant.other_member.pk
    for scope, path, keys in (
        ("organisation", requests.of_organisation, ["CREATE_PROJECT", "MANAGE_USER_GROUPS"]),
        ("project", requests.of_project, ["VIEW_PROJECT", "CREATE_FEATURE", "DELETE_FEATURE"]),
        ("environment", requests.of_environment, ["VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE"]),
    ):
        few, many = ({"user": member, "permissions": some} for some in (keys[:1], keys))
        requests.create_change_delete(f"permission of {scope}", f"{path}user-permissions/", few, many, few)
    requests.send(
        "member: promoted", "post", f"{requests.of_organisation}users/{member}/update-role/", {"role": "ADMIN"}
    )
    members = [{"id": each.pk} for each in requests.tenant.members]
    requests.send("members: removed", "post", f"{requests.of_organisation}remove-users/", members)


def features(requests: CountedRequests) -> None:
    tenant = requests.tenant
    path = f"{requests.of_project}features/"
    option = {"type": "unicode", "string_value": "o", "default_percentage_allocation": 1}
    body = {
        "name": "n",
        "initial_value": "v",
        "tags": [each.pk for each in tenant.tags],
        "owners": [each.pk for each in tenant.members],
        "multivariate_options": [option] * tenant.size,
    }
    requests.create_change_delete(
        "feature", path, body, {**body, "description": "d", "multivariate_options": [option] * (tenant.size + 1)}
    )
    of_feature = f"{path}{tenant.features[0].pk}/"
    for kind, change in (
        ("described", {"description": "d"}),
        ("renamed", {"name": "renamed"}),
        ("untagged", {"tags": []}),
    ):
        requests.send(f"populated feature: {kind}", "patch", of_feature, change)
    requests.create_change_delete("option", f"{of_feature}mv-options/", option, {**option, "string_value": "p"})
    requests.send("populated option: deleted", "delete", f"{of_feature}mv-options/{tenant.options[0].pk}/")
    requests.send("populated feature: deleted", "delete", of_feature)


def states(requests: CountedRequests) -> None:
    tenant = requests.tenant
    path = f"{requests.of_environment}featurestates/"
    state, feature = tenant.state(), tenant.features[0]
    shares = "multivariate_feature_state_values"
    requests.send("state: toggled", "patch", f"{path}{state.pk}/", {"enabled": True})
    requests.send("state: given a value", "put", f"{path}{state.pk}/", {"feature_state_value": "v"})
    requests.send("state: given shares", "put", f"{path}{state.pk}/", {shares: tenant.shares(0, 2)})
    body = {"environment": tenant.environment.pk, "feature": feature.pk, "enabled": False, "feature_state_value": TEXT}
    requests.send(
        "state: as an object", "put", f"features/featurestates/{state.pk}/", {**body, shares: tenant.shares(0, 3)}
    )
    requests.send("state: deleted", "delete", f"{path}{state.pk}/")
    requests.send("state: created", "post", path, {"feature": feature.pk, "enabled": True, shares: tenant.shares(0, 4)})


def segments(requests: CountedRequests) -> None:
    tenant = requests.tenant
    path = f"{requests.of_project}segments/"
    requests.create_change_delete(
        "segment", path, {"name": "n", "rules": tenant.rules("a")}, {"name": "n", "rules": tenant.rules("b")}
    )
    of_segment = f"{path}{tenant.segments[0].pk}/"
    requests.send("populated segment: changed", "put", of_segment, {"name": "s", "rules": tenant.rules("c")})
    requests.send("populated segment: renamed", "patch", of_segment, {"name": "t"})
    requests.send("populated segment: cloned", "post", f"{of_segment}clone/", {"name": "u"})
    requests.send("populated segment: deleted", "delete", of_segment)


def overrides(requests: CountedRequests) -> None:
    tenant = requests.tenant
    path = "features/feature-segments/"
    feature, environment = tenant.features[0].pk, tenant.environment.pk
    names = {"feature": feature, "environment": environment}
    new = [
        requests.send(
            f"(segment {n})", "post", f"{requests.of_project}segments/", {"name": "n", "rules": tenant.rules("n")}
        )["id"]
        for n in (1, 2)
    ]
    place = requests.send("override, first step: created", "post", path, {**names, "segment": new[0]})["id"]
    body = {**names, "feature_segment": place, "enabled": True, "feature_state_value": TEXT}
    state = requests.send("override, second step: created", "post", "features/featurestates/", body)["id"]
    body = {**body, "feature_state_value": {"type": "unicode", "string_value": "red"}, "enabled": False}
    requests.send("override: changed", "put", f"features/featurestates/{state}/", body)
    requests.send("override: given to another", "put", f"{path}{place}/", {**names, "segment": new[1]})
    one_step = {
        "feature_segment": {"segment": new[0], "priority": 0},
        "enabled": True,
        "feature_state_value": TEXT,
        "multivariate_feature_state_values": tenant.shares(0, 2),
    }
    create = f"{requests.of_environment}features/{feature}/create-segment-override/"
    made = requests.send("override, one step and the first of all: created", "post", create, one_step)
    places = FeatureSegment.objects.filter(feature=feature, environment=environment).order_by("-priority")
    reversed_ = [{"id": pk, "priority": number} for number, pk in enumerate(places.values_list("pk", flat=True))]
    requests.send("overrides: reordered", "post", f"{path}update-priorities/", reversed_)
    for number, pk in enumerate((place, made["feature_segment"]["id"])):
        requests.send(f"override: deleted {number}", "delete", f"{path}{pk}/")


def identities(requests: CountedRequests) -> None:
    tenant = requests.tenant
    path = f"{requests.of_environment}identities/"
    requests.create_change_delete("identity", path, {"identifier": "n"}, {"identifier": "m"})
    one = tenant.identities[0].pk
    other = requests.send("second identity: created", "post", path, {"identifier": "o"})["id"]
    trait = {"trait_key": "new", "value_type": "unicode", "string_value": "v"}
    requests.create_change_delete("trait", f"{path}{one}/traits/", trait, {**trait, "string_value": "w"})
    of_all = tenant.identities[0].identity_traits.get(trait_key="t0").pk
    requests.send("trait: deleted everywhere", "delete", f"{path}{one}/traits/{of_all}/?deleteAllMatchingTraits=true")
    requests.send("traits: deleted", "post", f"{requests.of_environment}delete-traits/", {"key": f"t{tenant.size - 1}"})
    body = {"feature": tenant.features[0].pk, "enabled": True, "feature_state_value": "v"}
    requests.create_change_delete(
        "override of an identity", f"{path}{other}/featurestates/", body, {**body, "feature_state_value": "w"}
    )
    clone = f"{path}{other}/featurestates/clone-from-given-identity/"
    requests.send("overrides of an identity: cloned", "post", clone, {"source_identity_id": one})
    state = FeatureState.objects.filter(identity=one)[0].pk
    requests.send("override of a populated identity: changed", "put", f"{path}{one}/featurestates/{state}/", body)
    requests.send("populated identity: renamed", "put", f"{path}{one}/", {"identifier": "renamed"})
    requests.send("populated identity: deleted", "delete", f"{path}{one}/")


def change_requests(requests: CountedRequests) -> None:
    tenant = requests.tenant
    create = f"{requests.of_environment}create-change-request/"
    reviewers = [{"user": each.pk} for each in tenant.members]
    places = FeatureSegment.objects.filter(environment=tenant.environment)

    def body(value: str, live_from: str | None = None) -> Any:
        """A change request with a state for each feature and each override."""
        state = {
            "enabled": True,
            "feature_state_value": {"type": "unicode", "string_value": value},
            "live_from": live_from,
        }
        shares = {feature.pk: tenant.shares(number, 3) for number, feature in enumerate(tenant.features)}
        states = [
            {
                "feature": feature,
                "feature_segment": place,
                "multivariate_feature_state_values": shares[feature],
                **state,
            }
            for feature, place in [
                *((feature.pk, None) for feature in tenant.features),
                *places.values_list("feature", "pk"),
            ]
        ]
        return {"title": "t", "feature_states": states, "approvals": reviewers}

    made = requests.send("change request: created", "post", create, body("a"))["id"]
    own = f"{REQUESTS}{made}/"
    requests.send("change request: changed", "put", own, body("b"))
    requests.send("change request: committed", "post", f"{own}commit/")
    made = requests.send("change request: created again", "post", create, body("c"))["id"]
    requests.send("change request: deleted", "delete", f"{REQUESTS}{made}/")
    made = requests.send("change request: scheduled, created", "post", create, body("d", DISTANT_FUTURE))["id"]
    requests.send("change request: scheduled, committed", "post", f"{REQUESTS}{made}/commit/")
    requests.send("change request: scheduled, deleted", "delete", f"{REQUESTS}{made}/")


def segment_change_requests(requests: CountedRequests) -> None:
    tenant = requests.tenant
    path = f"{requests.of_project}change-requests/"
    reviewers = [{"user": each.pk} for each in tenant.members]

    def body(value: str) -> Any:
        """A change request that changes every segment."""
        wanted = [{"name": value, "rules": tenant.rules(value), "version_of": each.pk} for each in tenant.segments]
        return {"title": "t", "segments": wanted, "approvals": reviewers}

    made = requests.send("segments' change request: created", "post", path, body("a"))["id"]
    requests.send("segments' change request: changed", "put", f"{path}{made}/", body("b"))
    requests.send("segments' change request: committed", "post", f"{path}{made}/commit/")
    made = requests.send("segments' change request: created again", "post", path, body("c"))["id"]
    requests.send("segments' change request: deleted", "delete", f"{path}{made}/")


def populated_scopes(requests: CountedRequests) -> None:
    requests.send(
        "populated environment: deleted", "delete", f"environments/{requests.tenant.environments[-1].api_key}/"
    )
    requests.send("populated project: deleted", "delete", requests.of_project)
    requests.send("populated organisation: deleted", "delete", requests.of_organisation)


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
    populated_scopes,
)


# Real commits: in a transaction of the test, all announcements would share the queries of one.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_writes__more_data__as_many_queries(
    admin: APIClient, user: FFAdminUser, script: Callable[[CountedRequests], None]
) -> None:
    counts = []
    for size in SIZES:
        requests = CountedRequests(admin, TenantOfSize(user, size))
        script(requests)
        counts.append(requests.counts)
    _, small, large = counts
    assert large == small


# The models that refer to models with raw deletes, and whose rows have to be deleted first.
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
        "workflows_core.ChangeSet",
        "workflows_core.PlannedChange",
        "workflows_core.SegmentChange",
    },
}


@pytest.mark.parametrize("label", REFERRING)
def test_raw_deletions__models_that_refer_to_the_rows__are_the_listed_ones(label: str) -> None:
    """Rows of a new model have to be deleted as well: environments/services.py, projects/services.py, receivers."""
    fields = apps.get_model(label)._meta.get_fields(include_hidden=True)
    relations = [field for field in fields if field.one_to_many or field.one_to_one]
    assert {field.related_model._meta.label for field in relations if field.auto_created} == REFERRING[label]
