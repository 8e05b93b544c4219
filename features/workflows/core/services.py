"""Creates, edits, approves, commits and deletes change requests of environments.

Callers hold the environment's lock.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied

from environments.access import is_environment_admin
from environments.models import Environment
from features.feature_states.services import remove_states
from features.models import FeatureState
from features.workflows.core import scheduler
from features.workflows.core.change_sets import RequestedSet, change_sets_differ, write_change_sets
from features.workflows.core.contents import RequestedState
from features.workflows.core.drafts import apply_requested, read_contents, write_drafts
from features.workflows.core.errors import ChangeRequestError
from features.workflows.core.models import ChangeRequest, ChangeRequestApproval, PlannedChange
from features.workflows.core.publication import CannotPublish, publish
from organisations.access import Actor
from projects.access import is_project_admin
from users.models import FFAdminUser

USES_V2_VERSIONING = "This environment uses v2 feature versioning. Publish a version instead."
OWN_REQUEST = "User cannot approve their own Change Request."
NOT_A_USER = "Only a user can approve a Change Request, not a master API key."
NOT_APPROVED = "Change request has not been approved by all required approvers."
ALREADY_COMMITTED = "This change request has been committed already."
PUBLISHED = "A change request that has been committed and is live cannot be deleted."
NOT_EDITABLE = (
    "The changes of an approved or committed change request cannot be edited. Delete it and create a new one."
)


def create_change_request(
    environment: Environment,
    author: Actor,
    *,
    requested: list[RequestedState],
    change_sets: list[RequestedSet] | None = None,
    reviewers: Iterable[FFAdminUser] = (),
    **columns: Any,
) -> ChangeRequest:
    """Create a change request. Its states are drafts, which are not served."""
    if environment.use_v2_feature_versioning:
        raise ChangeRequestError(USES_V2_VERSIONING)
    request = ChangeRequest(environment=environment, project=environment.project, user=user_of(author), **columns)
    request.save()
    write_drafts(request, requested)
    write_change_sets(request, change_sets or [])
    set_reviewers(request, reviewers)
    return request


def update_change_request(
    request: ChangeRequest,
    editor: Actor,
    *,
    requested: list[RequestedState] | None = None,
    change_sets: list[RequestedSet] | None = None,
    reviewers: Iterable[FFAdminUser] | None = None,
    **columns: Any,
) -> ChangeRequest:
    """Set columns. States, change sets and reviewers are replaced unless they are None.

    The states and change sets of an approved or committed request cannot be changed.
    """
    if requested is not None and _differ(request, requested):
        check_editable(request, editor)
        write_drafts(request, requested)
    if change_sets is not None and change_sets_differ(request, change_sets):
        check_editable(request, editor)
        write_change_sets(request, change_sets)
    save_columns(request, columns, reviewers)
    return request


def save_columns(request: ChangeRequest, columns: dict[str, Any], reviewers: Iterable[FFAdminUser] | None) -> None:
    """Set columns. Reviewers are replaced unless they are None."""
    for name, content in columns.items():
        setattr(request, name, content)
    request.save(update_fields=[*columns, "updated_at"])
    if reviewers is not None:
        set_reviewers(request, reviewers)


def approve(request: ChangeRequest, actor: Actor) -> None:
    """Store the actor's approval. A repeated approval updates its time."""
    user = user_of(actor)
    if user is None:
        raise ChangeRequestError(NOT_A_USER)
    if user.pk == request.user_id:
        raise ChangeRequestError(OWN_REQUEST)
    ChangeRequestApproval.objects.update_or_create(
        change_request=request, user=user, defaults={"approved_at": timezone.now()}
    )


def commit(request: ChangeRequest, actor: Actor) -> None:
    """Commit the request: states without a time or with a past one go live now, the others when they are due."""
    if request.is_committed:
        raise ChangeRequestError(ALREADY_COMMITTED)
    if not request.is_approved:
        raise ChangeRequestError(NOT_APPROVED)
    now = timezone.now()
    request.committed_at, request.committed_by = now, user_of(actor)
    changes = list(request.changes.all())
    _set_live_from(changes, now)
    try:
        publish(request, changes, now)
    except CannotPublish as error:
        raise ChangeRequestError(str(error)) from error
    if request.due_at is not None:
        transaction.on_commit(scheduler.wake)


def delete_change_request(request: ChangeRequest) -> None:
    """Delete a request of which nothing is live. A scheduled request is thereby cancelled."""
    if request.applied_at is not None:
        raise ChangeRequestError(PUBLISHED)
    remove_states(FeatureState.objects.filter(change_request=request, version=None))
    request.delete()


def _set_live_from(changes: Iterable[PlannedChange], now: datetime) -> None:
    """Set the commit's time on changes that go live with the commit."""
    for change in changes:
        if change.live_from is None or change.live_from < now:
            change.live_from = now


def _differ(request: ChangeRequest, requested: list[RequestedState]) -> bool:
    """Whether the requested states differ from the stored ones."""
    stored = read_contents(request)
    return apply_requested(request, requested, stored) != stored


def check_editable(request: ChangeRequest, editor: Actor) -> None:
    """Raise unless this editor may change the content of the request.

    Only the author and admins may. Another user could change it and then approve their own change.
    """
    if request.is_committed or any(approval.approved_at for approval in request.approvals.all()):
        raise ChangeRequestError(NOT_EDITABLE)
    author = user_of(editor)
    if author is not None and author.pk == request.user_id:
        return
    if request.environment is not None:
        is_admin = is_environment_admin(editor, request.environment)
    else:
        is_admin = is_project_admin(editor, request.project)
    if not is_admin:
        raise PermissionDenied


def set_reviewers(request: ChangeRequest, reviewers: Iterable[FFAdminUser]) -> None:
    """Replace the users who are asked to approve."""
    user_ids = {reviewer.pk for reviewer in reviewers}
    ChangeRequestApproval.objects.filter(change_request=request).exclude(user__in=user_ids).delete()
    ChangeRequestApproval.objects.bulk_create(
        (ChangeRequestApproval(change_request=request, user_id=pk) for pk in sorted(user_ids)), ignore_conflicts=True
    )


def user_of(actor: Actor) -> FFAdminUser | None:
    """The actor as author or committer of a request. None for a master API key."""
    return actor if isinstance(actor, FFAdminUser) else None
