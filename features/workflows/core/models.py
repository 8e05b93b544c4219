"""Change requests: changes of flags that are reviewed, then committed, then live, at once or at a set time."""

import uuid
from typing import Any

from django.db import models

from core.models import UUIDModel


class ChangeRequest(UUIDModel):
    """A change of several feature states of an environment that go live together.

    Until then its states have no ``version``, and nothing serves them. ``due_at`` is the one column that the scheduler
    looks at: whoever commits, applies or fails a request sets it.
    """

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    title = models.CharField(max_length=500)
    description = models.TextField(null=True, blank=True)
    # Its author; nobody for a master API key.
    user = models.ForeignKey(
        "users.FFAdminUser", on_delete=models.SET_NULL, related_name="change_requests", null=True, blank=True
    )
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="change_requests")
    # None: the request is about the project's segments.
    environment = models.ForeignKey(
        "environments.Environment", on_delete=models.CASCADE, related_name="change_requests", null=True, blank=True
    )
    committed_at = models.DateTimeField(null=True, blank=True)
    committed_by = models.ForeignKey(
        "users.FFAdminUser", on_delete=models.SET_NULL, related_name="committed_change_requests", null=True, blank=True
    )
    ignore_conflicts = models.BooleanField(default=False)

    # When the scheduler has to see to it next; None for a draft, and when nothing is left to do.
    due_at = models.DateTimeField(null=True, blank=True)
    # When the last of it went live.
    applied_at = models.DateTimeField(null=True, blank=True)
    # When and why it could not go live. It is not tried again.
    failed_at = models.DateTimeField(null=True, blank=True)
    failure = models.TextField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="change_request_due"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_committed(self) -> bool:
        return self.committed_at is not None

    @property
    def environment_pk(self) -> int:
        """Of a request that is about an environment."""
        assert self.environment_id is not None
        return self.environment_id

    @property
    def required_approvals(self) -> int | None:
        """How many people have to approve it; None where requests go without."""
        scope: Any = self.environment if self.environment_id is not None else self.project
        number: int | None = scope.minimum_change_request_approvals
        return number

    @property
    def is_approved(self) -> bool:
        """Whether enough people have approved it."""
        given = sum(approval.approved_at is not None for approval in self.approvals.all())
        return self.required_approvals is None or given >= self.required_approvals


class ChangeRequestApproval(models.Model):
    """Somebody who was asked to approve a change request, or who did (then ``approved_at`` is set)."""

    change_request = models.ForeignKey(ChangeRequest, on_delete=models.CASCADE, related_name="approvals")
    user = models.ForeignKey("users.FFAdminUser", on_delete=models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)
    approved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["change_request", "user"], name="unique_approver")]


class PlannedChange(models.Model):
    """What a change request does to one place: an environment's default of a feature, or a segment's override of it.

    It refers to nothing but its request, so it outlives the feature state that is to go live there. A feature that is
    deleted takes its states along; the plan then still says what of the request is gone. And since a live state can be
    changed and replaced later on, ``content`` keeps what it was when it went live.
    """

    change_request = models.ForeignKey(ChangeRequest, on_delete=models.CASCADE, related_name="changes")
    feature_state_id = models.IntegerField()
    feature_id = models.IntegerField(db_index=True)
    feature_name = models.CharField(max_length=2000)
    segment_id = models.IntegerField(null=True, blank=True)
    segment_name = models.CharField(max_length=2000, null=True, blank=True)
    live_from = models.DateTimeField(null=True, blank=True)
    live_at = models.DateTimeField(null=True, blank=True)
    content = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        if self.segment_name is None:
            return self.feature_name
        return f"{self.feature_name} for {self.segment_name}"


class SegmentChange(models.Model):
    """What a change request of a project makes of a segment. It stays what it is when the segment changes later."""

    change_request = models.ForeignKey(ChangeRequest, on_delete=models.CASCADE, related_name="segment_changes")
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # None when the segment is gone; its name then says which it was.
    segment = models.ForeignKey("segments.Segment", on_delete=models.SET_NULL, related_name="+", null=True, blank=True)
    segment_name = models.CharField(max_length=2000)
    name = models.CharField(max_length=2000)
    description = models.TextField(null=True, blank=True)
    # Whom the segment is made for. No foreign key: a feature that goes must not change what was asked for.
    feature_id = models.IntegerField(null=True, blank=True)
    rules = models.JSONField()

    class Meta:
        ordering = ["id"]
