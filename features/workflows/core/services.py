"""The life of an environment's change request: made, edited, approved, committed, deleted.

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
from features.workflows.core import drafts, scheduler
from features.workflows.core.contents import Wish
from features.workflows.core.errors import Refused
from features.workflows.core.models import ChangeRequest, ChangeRequestApproval, PlannedChange
from features.workflows.core.publication import CannotGoLive, publish
from organisations.access import Actor
from projects.access import is_project_admin
from users.models import FFAdminUser

VERSIONED = "This environment uses v2 feature versioning. Publish a version instead."
OWN_REQUEST = "User cannot approve their own Change Request."
NOT_A_USER = "Only a user can approve a Change Request, not a master API key."
NOT_APPROVED = "Change request has not been approved by all required approvers."
COMMITTED = "This change request has been committed already."
LIVE = "A change request that has been committed and is live cannot be deleted."
FIXED = "What a change request does cannot be changed once it is approved or committed. Delete it, and make a new one."


def create_change_request(
    environment: Environment,
    author: Actor,
    *,
    wishes: list[Wish],
    reviewers: Iterable[FFAdminUser] = (),
    **columns: Any,
) -> ChangeRequest:
    """A draft: what it is to change is stored, and nothing serves it."""
    if environment.use_v2_feature_versioning:
        raise Refused(VERSIONED)
    request = ChangeRequest(environment=environment, project=environment.project, user=person(author), **columns)
    request.save()
    drafts.write(request, wishes)
    ask(request, reviewers)
    return request


def update_change_request(
    request: ChangeRequest,
    editor: Actor,
    *,
    wishes: list[Wish] | None = None,
    reviewers: Iterable[FFAdminUser] | None = None,
    **columns: Any,
) -> ChangeRequest:
    """Set these columns, and replace the states and the reviewers that are not None.

    What others have approved, or what waits for its time, stays what it is.
    """
    if wishes is not None and _differ(request, wishes):
        check_rewriting(request, editor)
        drafts.write(request, wishes)
    save(request, columns, reviewers)
    return request


def save(request: ChangeRequest, columns: dict[str, Any], reviewers: Iterable[FFAdminUser] | None) -> None:
    """Set these columns, and replace the reviewers unless they are None."""
    for name, content in columns.items():
        setattr(request, name, content)
    request.save(update_fields=[*columns, "updated_at"])
    if reviewers is not None:
        ask(request, reviewers)


def approve(request: ChangeRequest, actor: Actor) -> None:
    """Note that somebody approves; a second time only renews the time of it."""
    user = person(actor)
    if user is None:
        raise Refused(NOT_A_USER)
    if user.pk == request.user_id:
        raise Refused(OWN_REQUEST)
    ChangeRequestApproval.objects.update_or_create(
        change_request=request, user=user, defaults={"approved_at": timezone.now()}
    )


def commit(request: ChangeRequest, actor: Actor) -> None:
    """Let the request go live: what has no time, or a past one, at once; the rest when its time has come."""
    if request.is_committed:
        raise Refused(COMMITTED)
    if not request.is_approved:
        raise Refused(NOT_APPROVED)
    now = timezone.now()
    request.committed_at, request.committed_by = now, person(actor)
    changes = list(request.changes.all())
    _date(changes, now)
    try:
        publish(request, changes, now)
    except CannotGoLive as error:
        raise Refused(str(error)) from error
    if request.due_at is not None:
        transaction.on_commit(scheduler.wake)


def delete_change_request(request: ChangeRequest) -> None:
    """Remove a request of which nothing is live. One that waits for its time will never apply."""
    if request.applied_at is not None:
        raise Refused(LIVE)
    drafts.remove(state.pk for state in drafts.of(request).values())
    request.delete()


def _date(changes: Iterable[PlannedChange], now: datetime) -> None:
    """What is to go live with the commit gets its time as its date."""
    for change in changes:
        if change.live_from is None or change.live_from < now:
            change.live_from = now


def _differ(request: ChangeRequest, wishes: list[Wish]) -> bool:
    """Whether these wishes would make the request do something else than it does."""
    present = drafts.stored(request)
    return drafts.planned(request, wishes, present) != present


def check_rewriting(request: ChangeRequest, editor: Actor) -> None:
    """Raise unless what the request does may be changed, and by this editor.

    Its author or an admin may. Anybody else could rewrite it and then approve what they wrote themselves.
    """
    if request.is_committed or any(approval.approved_at for approval in request.approvals.all()):
        raise Refused(FIXED)
    author = person(editor)
    if author is not None and author.pk == request.user_id:
        return
    if request.environment is not None:
        is_admin = is_environment_admin(editor, request.environment)
    else:
        is_admin = is_project_admin(editor, request.project)
    if not is_admin:
        raise PermissionDenied


def ask(request: ChangeRequest, reviewers: Iterable[FFAdminUser]) -> None:
    """Make these the people who are asked to approve."""
    wanted = {reviewer.pk for reviewer in reviewers}
    ChangeRequestApproval.objects.filter(change_request=request).exclude(user__in=wanted).delete()
    ChangeRequestApproval.objects.bulk_create(
        (ChangeRequestApproval(change_request=request, user_id=pk) for pk in sorted(wanted)), ignore_conflicts=True
    )


def person(actor: Actor) -> FFAdminUser | None:
    """Who stands in a request as its author, or as who committed it: nobody for a master API key."""
    return actor if isinstance(actor, FFAdminUser) else None
