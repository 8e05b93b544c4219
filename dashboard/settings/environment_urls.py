"""Paths below an environment's ``settings/``."""

from django.urls import path

from dashboard.permissions import pages as permissions
from dashboard.permissions.urls import permission_urls
from dashboard.settings import environment
from dashboard.webhooks import pages as webhooks
from dashboard.webhooks.urls import webhook_urls

urlpatterns = [
    path("", environment.EnvironmentSettingsPage.as_view(), name="environment-settings"),
    path("delete/", environment.DeleteEnvironment.as_view(), name="environment-delete"),
    *webhook_urls(
        webhooks.EnvironmentWebhooks,
        webhooks.NewEnvironmentWebhook,
        webhooks.EnvironmentWebhookForm,
        webhooks.EnvironmentWebhookTrial,
        webhooks.DeleteEnvironmentWebhook,
    ),
    *permission_urls(
        permissions.EnvironmentPermissions,
        permissions.EnvironmentUserPermissions,
        permissions.EnvironmentGroupPermissions,
    ),
]
