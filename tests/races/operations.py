"""What an admin does, over HTTP, in whatever transaction is open: each says which environments it changed.

A change is one that an SDK can read and hears of. What an operation finds decides what it does (an override that is
there is removed), so that nobody has to know what was rolled back before.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.db.models.signals import post_save
from django.utils import timezone
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core import scheduler
from features.workflows.core.models import ChangeRequest, PlannedChange
from projects.models import Project
from segments.models import Segment
from tests.support.api import rules, text

CHANGE_REQUESTS = "features/workflows/change-requests/"

SPARE = "spare-"
"""What the names of features begin with that come and go."""

Changed = set[int]


@dataclass(frozen=True)
class Site:
    """A project with what all operations are about, and an admin of it."""

    admin: APIClient
    project: Project
    environments: list[Environment]
    feature: Feature
    segments: list[Segment]
    numbers: "count[int]"

    @property
    def everywhere(self) -> Changed:
        return {environment.pk for environment in self.environments}

    @property
    def of_project(self) -> str:
        return f"projects/{self.project.pk}/"

    def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Call it; this status must be answered."""
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = self.admin.generic(method, f"/api/v1/{path}", **data)
        assert answer.status_code == status, f"{method} {path} {body}: {answer.status_code} {answer.content!r}"
        return answer.json() if answer.content else None

    def state(self, environment: Environment) -> FeatureState:
        """The environment's default."""
        return FeatureState.objects.get(
            environment=environment, feature=self.feature, identity=None, feature_segment=None, version__isnull=False
        )

    def state_path(self, environment: Environment) -> str:
        return f"{of(environment)}featurestates/{self.state(environment).pk}/"

    def value(self) -> str:
        """One that nothing had before."""
        return f"v{next(self.numbers)}"

    def propose(self, environment: Environment, live_from: str | None = None) -> Any:
        """A draft of a change request."""
        value = text(self.value())
        state = {"feature": self.feature.pk, "feature_state_value": value, "live_from": live_from}
        body = {"title": "t", "feature_states": [state]}
        return self.call("POST", f"{of(environment)}create-change-request/", body, 201)


def of(environment: Environment) -> str:
    return f"environments/{environment.api_key}/"


# An environment's own.


def toggle(site: Site, environment: Environment) -> Changed:
    body = {"enabled": not site.state(environment).enabled}
    site.call("PATCH", site.state_path(environment), body)
    return {environment.pk}


def save(site: Site, environment: Environment) -> Changed:
    """As a shell would, without the API."""
    state = site.state(environment)
    state.enabled = not state.enabled
    state.save()
    return {environment.pk}


def save_the_same(site: Site, environment: Environment) -> Changed:
    site.state(environment).save()
    return set()


def set_value(site: Site, environment: Environment) -> Changed:
    site.call("PUT", site.state_path(environment), {"feature_state_value": site.value()})
    return {environment.pk}


def put_the_same(site: Site, environment: Environment) -> Changed:
    path = site.state_path(environment)
    site.call("PUT", path, site.call("GET", path))
    return set()


def add_override(site: Site, environment: Environment) -> Changed:
    """For the first segment that has none."""
    places = FeatureSegment.objects.filter(environment=environment, feature=site.feature)
    taken = set(places.values_list("segment", flat=True))
    free = [segment for segment in site.segments if segment.pk not in taken]
    if not free:
        return set()
    path = f"{of(environment)}features/{site.feature.pk}/create-segment-override/"
    enabled = not site.state(environment).enabled
    body = {"feature_segment": {"segment": free[0].pk}, "enabled": enabled, "feature_state_value": text(site.value())}
    site.call("POST", path, body, 201)
    return {environment.pk}


def remove_override(site: Site, environment: Environment) -> Changed:
    place = FeatureSegment.objects.filter(environment=environment, feature=site.feature).order_by("priority").first()
    if place is None:
        return set()
    site.call("DELETE", f"features/feature-segments/{place.pk}/", status=204)
    return {environment.pk}


def reorder_overrides(site: Site, environment: Environment) -> Changed:
    places = list(FeatureSegment.objects.filter(environment=environment, feature=site.feature).order_by("priority"))
    if len(places) < 2:
        return set()
    body = [{"id": place.pk, "priority": number} for number, place in enumerate(reversed(places))]
    site.call("POST", "features/feature-segments/update-priorities/", body)
    return {environment.pk}


def override_identity(site: Site, environment: Environment) -> Changed:
    """Made or removed. SDKs read it, and do not hear of it."""
    identity = Identity.objects.get(environment=environment)
    path = f"{of(environment)}identities/{identity.pk}/featurestates/"
    state = FeatureState.objects.filter(identity=identity, feature=site.feature).first()
    if state is not None:
        site.call("DELETE", f"{path}{state.pk}/", status=204)
    else:
        body = {"feature": site.feature.pk, "enabled": True, "feature_state_value": site.value()}
        site.call("POST", path, body, 201)
    return set()


def commit_at_once(site: Site, environment: Environment) -> Changed:
    """A change request, live in the transaction of its commit."""
    made = site.propose(environment)
    site.call("POST", f"{CHANGE_REQUESTS}{made['id']}/commit/")
    return {environment.pk}


def delete_draft(site: Site, environment: Environment) -> Changed:
    made = site.propose(environment)
    site.call("DELETE", f"{CHANGE_REQUESTS}{made['id']}/", status=204)
    return set()


def delete_scheduled(site: Site, environment: Environment) -> Changed:
    made = site.propose(environment, "2100-01-01T00:00:00Z")
    site.call("POST", f"{CHANGE_REQUESTS}{made['id']}/commit/")
    site.call("DELETE", f"{CHANGE_REQUESTS}{made['id']}/", status=204)
    return set()


def come_due(site: Site, environment: Environment) -> Changed:
    """A change request is committed for a day that is far away, which then is today."""
    made = site.propose(environment, "2100-01-01T00:00:00Z")
    site.call("POST", f"{CHANGE_REQUESTS}{made['id']}/commit/")
    ChangeRequest.objects.filter(pk=made["id"]).update(due_at=timezone.now())
    PlannedChange.objects.filter(change_request=made["id"]).update(live_from=timezone.now())
    assert scheduler.publish_next()
    return {environment.pk}


# A project's, which concern all environments, or lock them all.


def change_environment(site: Site, environment: Environment) -> Changed:
    hidden = Environment.objects.get(pk=environment.pk).hide_sensitive_data
    site.call("PATCH", of(environment), {"hide_sensitive_data": not hidden})
    return {environment.pk}


def change_project(site: Site, environment: Environment) -> Changed:
    hidden = Project.objects.get(pk=site.project.pk).hide_disabled_flags
    site.call("PATCH", site.of_project, {"hide_disabled_flags": not hidden})
    return site.everywhere


def change_segment(site: Site, environment: Environment) -> Changed:
    body = {"name": "segment", "rules": rules(plan=site.value())}
    site.call("PUT", f"{site.of_project}segments/{site.segments[0].pk}/", body)
    return site.everywhere


def describe_segment(site: Site, environment: Environment) -> Changed:
    """Nothing that an SDK reads."""
    site.call("PATCH", f"{site.of_project}segments/{site.segments[0].pk}/", {"description": site.value()})
    return set()


def commit_segment(site: Site, environment: Environment) -> Changed:
    """A project's change request."""
    path = f"{site.of_project}change-requests/"
    wanted = {"name": "segment", "rules": rules(plan=site.value()), "version_of": site.segments[1].pk}
    made = site.call("POST", path, {"title": "t", "segments": [wanted]}, 201)
    site.call("POST", f"{path}{made['id']}/commit/")
    return site.everywhere


def make_feature(site: Site, environment: Environment) -> Changed:
    site.call("POST", f"{site.of_project}features/", {"name": f"{SPARE}{next(site.numbers)}"}, 201)
    return site.everywhere


def delete_feature(site: Site, environment: Environment) -> Changed:
    """One of those that come and go."""
    feature = Feature.objects.filter(project=site.project, name__startswith=SPARE).first()
    if feature is None:
        return set()
    site.call("DELETE", f"{site.of_project}features/{feature.pk}/", status=204)
    return site.everywhere


def change_options(site: Site, environment: Environment) -> Changed:
    """A multivariate option comes, or goes."""
    path = f"{site.of_project}features/{site.feature.pk}/mv-options/"
    option = MultivariateFeatureOption.objects.filter(feature=site.feature).first()
    if option is not None:
        site.call("DELETE", f"{path}{option.pk}/", status=204)
    else:
        body = {"type": "unicode", "string_value": site.value(), "default_percentage_allocation": 0}
        site.call("POST", path, body, 201)
    return site.everywhere


# Requests that fail.


def refuse_value(site: Site, environment: Environment) -> Changed:
    site.call("PATCH", site.state_path(environment), {"enabled": "perhaps"}, 400)
    return set()


def refuse_unknown(site: Site, environment: Environment) -> Changed:
    site.call("PATCH", f"{of(environment)}featurestates/2000000000/", {"enabled": True}, 404)
    return set()


def refuse_name(site: Site, environment: Environment) -> Changed:
    site.call("POST", f"{site.of_project}features/", {"name": site.feature.name}, 400)
    return set()


def refuse_deletion(site: Site, environment: Environment) -> Changed:
    """Of a change request that is live. What came before it in the transaction stays."""
    made = site.propose(environment)
    site.call("POST", f"{CHANGE_REQUESTS}{made['id']}/commit/")
    site.call("DELETE", f"{CHANGE_REQUESTS}{made['id']}/", status=400)
    return {environment.pk}


def fail_late(site: Site, environment: Environment) -> Changed:
    """Something of ours breaks when the state is saved and announced already: 500, and nothing of it stays."""

    def fail(**kwargs: Any) -> None:
        raise RuntimeError("a listener that fails")

    body = {"enabled": not site.state(environment).enabled}
    path = site.state_path(environment)
    post_save.connect(fail, sender=FeatureState)
    try:
        site.call("PATCH", path, body, 500)
    finally:
        post_save.disconnect(fail, sender=FeatureState)
    return set()


@dataclass(frozen=True)
class Operation:
    do: Callable[[Site, Environment], Changed]
    locks_project: bool

    def __repr__(self) -> str:
        return self.do.__name__


OPERATIONS = (
    *(
        Operation(do, locks_project=False)
        for do in (
            toggle,
            save,
            save_the_same,
            set_value,
            put_the_same,
            add_override,
            remove_override,
            reorder_overrides,
            override_identity,
            commit_at_once,
            delete_draft,
            delete_scheduled,
            come_due,
            refuse_value,
            refuse_unknown,
            refuse_deletion,
            fail_late,
        )
    ),
    *(
        Operation(do, locks_project=True)
        for do in (
            change_environment,
            change_project,
            change_segment,
            describe_segment,
            commit_segment,
            make_feature,
            delete_feature,
            change_options,
            refuse_name,
        )
    ),
)
