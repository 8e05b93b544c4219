"""Raw removal of what features have in environments, identities, segments and projects that are about to be deleted:
receivers of ``core.removal.emptying``.

Raw, since a delete that sends signals would read each row and remove a hundred at a time, only to find that the row
that they belong to announces the change, or that nobody has to be told.
"""

from typing import Any

from django.db.models import QuerySet

from core.changes import report
from environments.identities.models import Identity
from environments.models import Environment
from features.changes import AboutToChangeStates, AboutToDeleteOverrides, Place
from features.feature_states.services import remove_states
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core.models import ChangeRequest, ChangeRequestApproval, PlannedChange, SegmentChange
from projects.models import Project
from segments.models import Segment


def empty_environments(rows: QuerySet[Environment], **kwargs: Any) -> None:
    """Remove the states, overrides and change requests of environments."""
    within = rows.order_by().values("pk")
    requests = ChangeRequest.objects.filter(environment__in=within)
    remove_states(FeatureState.objects.filter(environment__in=within))
    for each in (
        FeatureSegment.objects.filter(environment__in=within),
        PlannedChange.objects.filter(change_request__in=requests.order_by().values("pk")),
        ChangeRequestApproval.objects.filter(change_request__in=requests.order_by().values("pk")),
        requests,
    ):
        each._raw_delete(each.db)


def empty_identities(rows: QuerySet[Identity], **kwargs: Any) -> None:
    """Remove the overrides of identities, of which there may be one for each feature."""
    states = FeatureState.objects.filter(identity__in=rows.order_by().values("pk"))
    places = states.values_list("environment_id", "feature_id", "feature_segment_id", "identity_id")
    report(AboutToChangeStates(Place(*place) for place in places))
    remove_states(states)


def empty_segments(rows: QuerySet[Segment], **kwargs: Any) -> None:
    """Remove the overrides of segments, of which there may be one for each feature in each environment."""
    overrides = FeatureSegment.objects.filter(segment__in=rows.order_by().values("pk"))
    report(AboutToChangeStates(Place(*row) for row in overrides.values_list("environment_id", "feature_id", "pk")))
    report(AboutToDeleteOverrides(overrides.select_related("feature__project", "segment")))
    remove_states(FeatureState.objects.filter(feature_segment__in=overrides.order_by().values("pk")))
    overrides._raw_delete(overrides.db)


def empty_projects(rows: QuerySet[Project], **kwargs: Any) -> None:
    """Remove the change requests and features of projects, whose environments are empty already."""
    within = rows.order_by().values("pk")
    requests = ChangeRequest.objects.filter(project__in=within)
    features = Feature.objects.filter(project__in=within)
    for each in (
        SegmentChange.objects.filter(change_request__in=requests.order_by().values("pk")),
        ChangeRequestApproval.objects.filter(change_request__in=requests.order_by().values("pk")),
        requests,
        MultivariateFeatureOption.objects.filter(feature__in=features.order_by().values("pk")),
        *(
            relation.through._base_manager.filter(feature__in=features.order_by().values("pk"))
            for relation in (Feature.tags, Feature.owners, Feature.group_owners)
        ),
        features,
    ):
        each._raw_delete(each.db)
