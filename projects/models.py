from django.db import models

from core.models import GroupPermissions, UserPermissions, UUIDModel


class Project(UUIDModel):
    """A project: features and segments, shared by its environments.

    ``enable_realtime_updates`` is the gate: an environment's changes are streamed while it is true.
    """

    name = models.CharField(max_length=2000)
    created_date = models.DateTimeField(auto_now_add=True)
    organisation = models.ForeignKey("organisations.Organisation", on_delete=models.CASCADE, related_name="projects")
    hide_disabled_flags = models.BooleanField(default=False)
    prevent_flag_defaults = models.BooleanField(default=False)
    enable_realtime_updates = models.BooleanField(default=False)
    only_allow_lower_case_feature_names = models.BooleanField(default=True)
    feature_name_regex = models.CharField(max_length=255, null=True, blank=True)
    stale_flags_limit_days = models.IntegerField(default=30)
    minimum_change_request_approvals = models.IntegerField(null=True, blank=True)
    enforce_feature_owners = models.BooleanField(default=False)
    max_segments_allowed = models.IntegerField(default=500)
    max_features_allowed = models.IntegerField(default=1000)
    max_segment_overrides_allowed = models.IntegerField(default=2000)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="unique_project_name")]

    def __str__(self) -> str:
        return self.name


class UserProjectPermission(UserPermissions):
    """A user's permissions in a project. ``admin`` includes all of them, and those of its environments."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="userpermission")
    admin = models.BooleanField(default=False)

    class Meta(UserPermissions.Meta):
        constraints = [models.UniqueConstraint(fields=["user", "project"], name="unique_user_project")]


class UserPermissionGroupProjectPermission(GroupPermissions):
    """A group's permissions in a project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="grouppermission")
    admin = models.BooleanField(default=False)

    class Meta(GroupPermissions.Meta):
        constraints = [models.UniqueConstraint(fields=["group", "project"], name="unique_group_project_permission")]
