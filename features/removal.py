"""Receivers of ``core.removal.emptying``: bulk removal of feature rows that belong to deleted environments, identities,
segments and projects.

The deletes are raw: a delete with signals reads each row and removes 100 at a time. The signals are not needed, since
the deleted owner's own row announces the change, or no SDK can read it any more.
"""

from typing import Any

from django.db.models import QuerySet

from core.changes import report
from environments.identities.models import Identity
from environments.models import Environment
from features.changes import AboutToChangeStates, AboutToDeleteOverrides, StateKey
from features.feature_states.services import remove_states
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core.models import ChangeRequest, ChangeRequestApproval, ChangeSet, PlannedChange, SegmentChange
from projects.models import Project
from segments.models import Segment


def empty_environments(rows: QuerySet[Environment], **kwargs: Any) -> None:
    """Remove the states, overrides and change requests of environments."""
    environment_pks = rows.order_by().values("pk")
    requests = ChangeRequest.objects.filter(environment__in=environment_pks)
    remove_states(FeatureState.objects.filter(environment__in=environment_pks))
    for rows_to_delete in (
        FeatureSegment.objects.filter(environment__in=environment_pks),
        PlannedChange.objects.filter(change_request__in=requests.order_by().values("pk")),
        ChangeSet.objects.filter(change_request__in=requests.order_by().values("pk")),
        ChangeRequestApproval.objects.filter(change_request__in=requests.order_by().values("pk")),
        requests,
    ):
        rows_to_delete._raw_delete(rows_to_delete.db)


def empty_identities(rows: QuerySet[Identity], **kwargs: Any) -> None:
    """Remove the overrides of identities: up to one for each feature."""
    states = FeatureState.objects.filter(identity__in=rows.order_by().values("pk"))
    keys = states.values_list("environment_id", "feature_id", "feature_segment_id", "identity_id")
    report(AboutToChangeStates(StateKey(*key) for key in keys))
    remove_states(states)


def empty_segments(rows: QuerySet[Segment], **kwargs: Any) -> None:
    """Remove the overrides of segments: up to one for each feature in each environment."""
    overrides = FeatureSegment.objects.filter(segment__in=rows.order_by().values("pk"))
    report(AboutToChangeStates(StateKey(*row) for row in overrides.values_list("environment_id", "feature_id", "pk")))
    report(AboutToDeleteOverrides(overrides.select_related("feature__project", "segment")))
    remove_states(FeatureState.objects.filter(feature_segment__in=overrides.order_by().values("pk")))
    overrides._raw_delete(overrides.db)


def empty_projects(rows: QuerySet[Project], **kwargs: Any) -> None:
    """Remove the change requests and features of projects. Their environments were emptied before."""
    project_pks = rows.order_by().values("pk")
    requests = ChangeRequest.objects.filter(project__in=project_pks)
    features = Feature.objects.filter(project__in=project_pks)
    for rows_to_delete in (
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
        rows_to_delete._raw_delete(rows_to_delete.db)
