"""Paths below an environment's ``settings/``."""

from django.urls import path

from dashboard.permissions import pages as permissions
from dashboard.settings import environment
from dashboard.webhooks import pages as webhooks

urlpatterns = [
    path("", environment.EnvironmentSettingsPage.as_view(), name="environment-settings"),
    path("delete/", environment.DeleteEnvironment.as_view(), name="environment-delete"),
    path("webhooks/", webhooks.EnvironmentWebhooks.as_view(), name="environment-webhooks"),
    path("webhooks/new/", webhooks.NewEnvironmentWebhook.as_view(), name="environment-webhook-create"),
    path("webhooks/<int:webhook_pk>/", webhooks.EnvironmentWebhookForm.as_view(), name="environment-webhook"),
    path(
        "webhooks/<int:webhook_pk>/test/", webhooks.EnvironmentWebhookTrial.as_view(), name="environment-webhook-test"
    ),
    path(
        "webhooks/<int:webhook_pk>/delete/",
        webhooks.DeleteEnvironmentWebhook.as_view(),
        name="environment-webhook-delete",
    ),
    path("permissions/", permissions.EnvironmentPermissions.as_view(), name="environment-permissions"),
    path(
        "permissions/users/<int:user_pk>/",
        permissions.EnvironmentUserPermissions.as_view(),
        name="environment-user-permissions",
    ),
    path(
        "permissions/groups/<int:group_pk>/",
        permissions.EnvironmentGroupPermissions.as_view(),
        name="environment-group-permissions",
    ),
]
