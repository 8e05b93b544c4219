"""Paths of the webhooks of an organisation or an environment, below its ``settings/``."""

from django.urls import URLPattern, path

from dashboard.webhooks.pages import (
    DeleteWebhookMixin,
    NewWebhookMixin,
    WebhookFormMixin,
    WebhooksMixin,
    WebhookTrialMixin,
)


def webhook_urls(
    listing: type[WebhooksMixin],
    new: type[NewWebhookMixin],
    form: type[WebhookFormMixin],
    trial: type[WebhookTrialMixin],
    delete: type[DeleteWebhookMixin],
) -> list[URLPattern]:
    kind = listing.kind
    return [
        path("webhooks/", listing.as_view(), name=f"{kind}-webhooks"),
        path("webhooks/new/", new.as_view(), name=f"{kind}-webhook-create"),
        path("webhooks/<int:webhook_pk>/", form.as_view(), name=f"{kind}-webhook"),
        path("webhooks/<int:webhook_pk>/test/", trial.as_view(), name=f"{kind}-webhook-test"),
        path("webhooks/<int:webhook_pk>/delete/", delete.as_view(), name=f"{kind}-webhook-delete"),
    ]
