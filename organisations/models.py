from django.conf import settings
from django.db import models

from core.models import GroupPermissions, UserPermissions, UUIDModel


class OrganisationRole(models.TextChoices):
    ADMIN = "ADMIN"
    USER = "USER"


class Organisation(UUIDModel):
    """An organisation, which is the tenant: its objects are not visible to other organisations."""

    name = models.CharField(max_length=2000)
    created_date = models.DateTimeField(auto_now_add=True)
    webhook_notification_email = models.EmailField(null=True, blank=True)
    restrict_project_create_to_admin = models.BooleanField(default=False)
    persist_trait_data = models.BooleanField(default=True)
    stop_serving_flags = models.BooleanField(default=False)
    feature_analytics = models.BooleanField(default=False)
    block_access_to_admin = models.BooleanField(default=False)
    force_2fa = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name


class UserOrganisation(models.Model):
    """A user's membership of an organisation, with the role."""

    user = models.ForeignKey("users.FFAdminUser", on_delete=models.CASCADE)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    role = models.CharField(max_length=50, choices=OrganisationRole.choices)
    date_joined = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["user", "organisation"], name="unique_user_organisation")]


class UserOrganisationPermission(UserPermissions):
    """A member's permissions in an organisation. An admin of it needs none."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="userpermission")

    class Meta(UserPermissions.Meta):
        constraints = [
            models.UniqueConstraint(fields=["user", "organisation"], name="unique_user_organisation_permission")
        ]


class UserPermissionGroupOrganisationPermission(GroupPermissions):
    """A group's permissions in its organisation."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="grouppermission")

    class Meta(GroupPermissions.Meta):
        constraints = [
            models.UniqueConstraint(fields=["group", "organisation"], name="unique_group_organisation_permission")
        ]


def default_plan() -> str:
    return settings.DEFAULT_SUBSCRIPTION_PLAN


class Subscription(UUIDModel):
    """An organisation's subscription. Its ``plan`` determines the number of members and access to real-time updates."""

    organisation = models.OneToOneField(Organisation, on_delete=models.CASCADE, related_name="subscription")
    subscription_id = models.CharField(max_length=100, null=True, blank=True)
    subscription_date = models.DateTimeField(null=True, blank=True)
    plan = models.CharField(max_length=100, null=True, blank=True, default=default_plan)
    max_seats = models.IntegerField(default=1)
    max_api_calls = models.BigIntegerField(default=50_000)
    cancellation_date = models.DateTimeField(null=True, blank=True)
    customer_id = models.CharField(max_length=100, null=True, blank=True)
    billing_status = models.CharField(max_length=20, null=True, blank=True)
    payment_method = models.CharField(max_length=20, null=True, blank=True)
    notes = models.CharField(max_length=500, null=True, blank=True)


class OrganisationWebhook(UUIDModel):
    """A webhook for all changes in an organisation. The package ``webhooks`` delivers them."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=100, blank=True)
    url = models.URLField(max_length=200)
    secret = models.CharField(max_length=255, blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
