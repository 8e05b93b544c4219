"""The webhooks of an organisation and of an environment: list, add, change, test and delete."""

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.edits import Edit, describe_field, encoded_digests
from dashboard.organisations.pages import OrganisationSettingsPage
from dashboard.pages import Page
from dashboard.scoped_pages import EnvironmentPage

MAX_WEBHOOKS = 100

LABELS = {"url": "The URL", "secret": "The secret", "enabled": "The webhook"}


class WebhooksMixin(Page):
    """The list of a scope's webhooks."""

    section = "webhooks"

    @property
    def webhooks(self) -> "QuerySet[Any]":
        raise NotImplementedError

    @property
    def webhooks_path(self) -> str:
        """The API's path."""
        raise NotImplementedError

    @property
    def scope(self) -> dict[str, str]:
        """The scope of a trial in the API's format."""
        raise NotImplementedError

    @property
    def may_manage(self) -> bool:
        raise NotImplementedError

    kind = ""
    """"organisation" or "environment"."""

    @property
    def arguments(self) -> list[Any]:
        """The arguments of the scope's URLs."""
        raise NotImplementedError

    def webhook_url(self, name: str = "", *args: int) -> str:
        """The URL of the list, or of "-create", "-edit", "-test" or "-delete"."""
        suffix = {"": "s", "-edit": ""}.get(name, name)
        return reverse(f"dashboard:{self.kind}-webhook{suffix}", args=[*self.arguments, *args])

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.render_webhooks(200)

    def render_webhooks(self, status: int, **content: Any) -> HttpResponse:
        webhooks = list(self.webhooks.order_by("pk")[:MAX_WEBHOOKS])
        for each in webhooks:
            each.urls = {name: self.webhook_url(f"-{name}", each.pk) for name in ("edit", "test", "delete")}
        urls = {"create_url": self.webhook_url("-create"), "list_url": self.webhook_url()}
        return self.render(status, webhooks=webhooks, **urls, **content)

    @cached_property
    def webhook(self) -> Any:
        found = self.webhooks.filter(pk=self.kwargs["webhook_pk"]).first() if self.may_manage else None
        if found is None:
            raise Http404
        return found

    def item_path(self) -> str:
        return f"{self.webhooks_path}{self.webhook.pk}/"


class NewWebhookMixin(WebhooksMixin):
    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        typed = typed_webhook(request)
        response = self.call("POST", self.webhooks_path, typed)
        if not response.ok:
            content = {"new": typed, "new_errors": response.errors, "message": response.non_field_error}
            return self.render_webhooks(response.status, **content)
        return self.redirect(self.webhook_url(), "The webhook is there.")


class WebhookFormMixin(WebhooksMixin):
    """The form of a webhook, opened in the list."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        stored = stored_webhook(self.webhook)
        content = {"opened": self.webhook.pk, "typed": stored, "digests": encoded_digests(stored)}
        return self.render_webhooks(200, **content)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        stored = stored_webhook(self.webhook)
        edit = Edit(request.POST, stored=stored, typed=typed_webhook(request))
        response = self.save(self.item_path(), edit, lambda name: describe_field(LABELS[name], stored[name]))
        if not response.ok:
            content = {"opened": self.webhook.pk, "typed": edit.merged, "digests": encoded_digests(stored)}
            content |= {"errors": response.errors, "message": response.non_field_error}
            return self.render_webhooks(response.status, **content)
        return self.redirect(self.webhook_url(), "The webhook is saved.")


class WebhookTrialMixin(WebhooksMixin):
    """Send a sample event to the webhook."""

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        body = {"webhook_url": self.webhook.url, "secret": self.webhook.secret, "scope": self.scope}
        response = self.call("POST", "webhooks/test/", body)
        return self.redirect_after(response, self.webhook_url(), "The sample event was received.")


class DeleteWebhookMixin(WebhooksMixin):
    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        question, effect = f"Delete the webhook {self.webhook.url}?", "It receives nothing from then on."
        return self.confirm(question, effect, "Delete the webhook", self.webhook_url())

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = self.call("DELETE", self.item_path())
        return self.redirect_after(response, self.webhook_url(), "The webhook is deleted.")


class OrganisationWebhooks(WebhooksMixin, OrganisationSettingsPage):
    template = "dashboard/webhooks/organisation.html"
    kind = "organisation"

    @property
    def webhooks(self) -> "QuerySet[Any]":
        return self.organisation.webhooks.all()

    @property
    def webhooks_path(self) -> str:
        return f"{self.api_path}webhooks/"

    @property
    def scope(self) -> dict[str, str]:
        return {"type": self.kind, "id": str(self.organisation.pk)}

    @property
    def may_manage(self) -> bool:
        return self.is_organisation_admin

    @property
    def arguments(self) -> list[Any]:
        return [self.organisation.pk]


class NewOrganisationWebhook(NewWebhookMixin, OrganisationWebhooks):
    pass


class OrganisationWebhookForm(WebhookFormMixin, OrganisationWebhooks):
    pass


class OrganisationWebhookTrial(WebhookTrialMixin, OrganisationWebhooks):
    pass


class DeleteOrganisationWebhook(DeleteWebhookMixin, OrganisationWebhooks):
    pass


class EnvironmentWebhooks(WebhooksMixin, EnvironmentPage):
    template = "dashboard/webhooks/environment.html"
    tab = "settings"
    kind = "environment"

    @property
    def webhooks(self) -> "QuerySet[Any]":
        return self.environment.webhooks.all()

    @property
    def webhooks_path(self) -> str:
        return f"environments/{self.environment.api_key}/webhooks/"

    @property
    def scope(self) -> dict[str, str]:
        return {"type": self.kind, "id": self.environment.api_key}

    @property
    def may_manage(self) -> bool:
        return self.is_environment_admin

    @property
    def arguments(self) -> list[Any]:
        return [self.project.pk, self.environment.api_key]


class NewEnvironmentWebhook(NewWebhookMixin, EnvironmentWebhooks):
    pass


class EnvironmentWebhookForm(WebhookFormMixin, EnvironmentWebhooks):
    pass


class EnvironmentWebhookTrial(WebhookTrialMixin, EnvironmentWebhooks):
    pass


class DeleteEnvironmentWebhook(DeleteWebhookMixin, EnvironmentWebhooks):
    pass


def typed_webhook(request: HttpRequest) -> dict[str, Any]:
    texts = {name: request.POST.get(name, "") for name in ("url", "secret")}
    return {**texts, "enabled": "enabled" in request.POST}


def stored_webhook(webhook: Any) -> dict[str, Any]:
    return {name: getattr(webhook, name) for name in LABELS}
