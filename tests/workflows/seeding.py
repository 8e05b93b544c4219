"""Bulk creation of committed change requests, with the same rows that the API writes."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from environments.models import Environment
from features.models import Feature, FeatureState, FeatureStateValue
from features.workflows.core.models import ChangeRequest, PlannedChange
from organisations.models import Organisation
from projects.models import Project


def environment_with_features(number: int) -> Environment:
    """Create an environment with this number of disabled features."""
    organisation = Organisation.objects.create(name="Acme")
    project = Project.objects.create(name="Web", organisation=organisation, enable_realtime_updates=True)
    environment = Environment.objects.create(name="Development", project=project)
    add_features(environment, number)
    return environment


def add_features(environment: Environment, number: int) -> None:
    """Add this number of disabled features to the environment."""
    features = Feature.objects.bulk_create(
        Feature(name=f"f{each}", project=environment.project) for each in range(number)
    )
    _states(environment, features, version=1)


@transaction.atomic
def schedule_requests(environment: Environment, times: Iterable[datetime]) -> list[ChangeRequest]:
    """Create a committed request for each time; each request enables two features of its own."""
    times = list(times)
    now = timezone.now()
    features = list(environment.project.features.all()[: 2 * len(times)])
    requests = ChangeRequest.objects.bulk_create(
        ChangeRequest(
            environment=environment, project=environment.project, title=f"r{each}", committed_at=now, due_at=time
        )
        for each, time in enumerate(times)
    )
    drafts = _states(environment, features, version=None, enabled=True)
    for number, draft in enumerate(drafts):
        draft.change_request, draft.live_from = requests[number // 2], times[number // 2]
    FeatureState.objects.bulk_update(drafts, ["change_request", "live_from"])
    PlannedChange.objects.bulk_create(
        PlannedChange(
            change_request_id=draft.change_request_id,
            feature_state_id=draft.pk,
            feature_id=draft.feature_id,
            feature_name=draft.feature.name,
            live_from=draft.live_from,
        )
        for draft in drafts
    )
    return requests


def _states(environment: Environment, features: list[Feature], **columns: object) -> list[FeatureState]:
    states = FeatureState.objects.bulk_create(
        FeatureState(environment=environment, feature=feature, **columns) for feature in features
    )
    FeatureStateValue.objects.bulk_create(FeatureStateValue(feature_state=state) for state in states)
    return states
