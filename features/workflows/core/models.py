"""Change requests: changes of flags or segments that are reviewed, committed, and live at once or at a set time."""

import uuid
from typing import Any

from django.db import models

from core.models import UUIDModel


class ChangeRequest(UUIDModel):
    """A set of feature states of an environment, or of segments of a project, that are changed together.

    Its states have no ``version``, and are not served, until they are live. The scheduler queries only ``due_at``,
    which is set when a request is committed, published or failed.
    """

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    title = models.CharField(max_length=500)
    description = models.TextField(null=True, blank=True)
    # The author; None for a master API key.
    user = models.ForeignKey(
        "users.FFAdminUser", on_delete=models.SET_NULL, related_name="change_requests", null=True, blank=True
    )
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="change_requests")
    # None: a change request of the project's segments.
    environment = models.ForeignKey(
        "environments.Environment", on_delete=models.CASCADE, related_name="change_requests", null=True, blank=True
    )
    committed_at = models.DateTimeField(null=True, blank=True)
    committed_by = models.ForeignKey(
        "users.FFAdminUser", on_delete=models.SET_NULL, related_name="committed_change_requests", null=True, blank=True
    )
    ignore_conflicts = models.BooleanField(default=False)

    # When the scheduler has to publish it next. None: not committed, or nothing is left to publish.
    due_at = models.DateTimeField(null=True, blank=True)
    # When its latest state went live.
    applied_at = models.DateTimeField(null=True, blank=True)
    # When and why publishing failed. It is not retried.
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
    def all_changes(self) -> "list[PlannedChange | ChangeSet]":
        """The changes of states, and then the change sets."""
        changes: list[PlannedChange | ChangeSet] = list(self.changes.all())
        return [*changes, *self.change_sets.all()]

    @property
    def environment_pk(self) -> int:
        """The primary key of the environment, for requests that have one."""
        assert self.environment_id is not None
        return self.environment_id

    @property
    def required_approvals(self) -> int | None:
        """The number of required approvals. None: no approval is needed."""
        scope: Any = self.environment if self.environment_id is not None else self.project
        number: int | None = scope.minimum_change_request_approvals
        return number

    @property
    def is_approved(self) -> bool:
        approvals = sum(approval.approved_at is not None for approval in self.approvals.all())
        return self.required_approvals is None or approvals >= self.required_approvals


class ChangeRequestApproval(models.Model):
    """A user who was asked to approve a change request, or who has approved it (then ``approved_at`` is set)."""

    change_request = models.ForeignKey(ChangeRequest, on_delete=models.CASCADE, related_name="approvals")
    user = models.ForeignKey("users.FFAdminUser", on_delete=models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)
    approved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["change_request", "user"], name="unique_approver")]


class PlannedChange(models.Model):
    """A change request's change of one target: an environment default or a segment override of a feature.

    Its only foreign key is the request, so it is kept when the feature is deleted with its states. ``content`` is the
    state's JSON at the time when it went live, since live states can be changed and replaced later.
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


class ChangeSet(models.Model):
    """Removals and the order of a feature's segment overrides, which a change request makes besides its states.

    Like ``PlannedChange`` it is kept when the feature or a segment is deleted, so names are stored.
    """

    change_request = models.ForeignKey(ChangeRequest, on_delete=models.CASCADE, related_name="change_sets")
    feature_id = models.IntegerField(db_index=True)
    feature_name = models.CharField(max_length=2000)
    # Segments: lists of objects with ``id`` and ``name``. An empty order: the order stays.
    removed = models.JSONField()
    order = models.JSONField()
    live_from = models.DateTimeField(null=True, blank=True)
    live_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        changes = [f"{self.feature_name} for {segment['name']} removed" for segment in self.removed]
        return ", ".join([*changes, f"order of {self.feature_name}"] if self.order else changes)


class SegmentChange(models.Model):
    """The columns and rules that a project's change request gives to a segment. Kept if the segment changes later."""

    change_request = models.ForeignKey(ChangeRequest, on_delete=models.CASCADE, related_name="segment_changes")
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # None if the segment was deleted; its name is kept in ``segment_name``.
    segment = models.ForeignKey("segments.Segment", on_delete=models.SET_NULL, related_name="+", null=True, blank=True)
    segment_name = models.CharField(max_length=2000)
    name = models.CharField(max_length=2000)
    description = models.TextField(null=True, blank=True)
    # The segment's feature. Not a foreign key: a deleted feature must not change the request.
    feature_id = models.IntegerField(null=True, blank=True)
    rules = models.JSONField()

    class Meta:
        ordering = ["id"]
