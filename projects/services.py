"""What making, changing and deleting a project takes beyond one save."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from core.locks import keep_out_identities
from environments.models import Environment
from environments.services import empty as empty_environments
from features.models import Feature
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core.models import ChangeRequest, ChangeRequestApproval, SegmentChange
from organisations.access import Actor
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from segments import trees
from segments.models import Segment
from users.models import FFAdminUser


def create_project(actor: Actor, **fields: Any) -> Project:
    """A project whose creator is its admin. (A master API key is an admin of all projects anyway.)"""
    with transaction.atomic():
        project = Project.objects.create(**fields)
        if isinstance(actor, FFAdminUser):
            UserProjectPermission.objects.create(user=actor, project=project, admin=True)
    return project


def delete_project(project: Project) -> None:
    """Remove a project with everything in it, for which nobody has to be told: its environments' streams end."""
    with transaction.atomic():
        keep_out_identities(project.environments.values_list("pk", flat=True))
        empty(Project.objects.filter(pk=project.pk))
        project.delete()


def empty(projects: QuerySet[Project]) -> None:
    """Remove what there may be any number of in projects that are about to go; raw, as in ``environments.services``."""
    within = projects.order_by().values("pk")
    empty_environments(Environment.objects.filter(project__in=within))
    requests = ChangeRequest.objects.filter(project__in=within)
    features = Feature.objects.filter(project__in=within)
    segments = Segment.objects.filter(project__in=within)
    trees.clear(segments.order_by())
    for rows in (
        SegmentChange.objects.filter(change_request__in=requests.order_by().values("pk")),
        ChangeRequestApproval.objects.filter(change_request__in=requests.order_by().values("pk")),
        requests,
        segments,
        MultivariateFeatureOption.objects.filter(feature__in=features.order_by().values("pk")),
        *(
            relation.through._base_manager.filter(feature__in=features.order_by().values("pk"))
            for relation in (Feature.tags, Feature.owners, Feature.group_owners)
        ),
        features,
    ):
        rows._raw_delete(rows.db)


def plan_of(organisation: Organisation) -> str | None:
    """The plan that the organisation has subscribed to."""
    subscription = getattr(organisation, "subscription", None)
    return subscription.plan if subscription is not None else None
