"""The page Project settings > SDK settings: the real-time switch, environment keys, and code snippets for SDKs."""

from functools import cached_property
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from dashboard.scoped_pages import ProjectPage
from dashboard.settings import snippets
from environments.models import Environment, EnvironmentAPIKey
from projects.services import plan_of
from realtime.hosts import plan_allows

NOT_ADMIN = "Only admins of the project may change this."


class SDKPage(ProjectPage):
    template = "dashboard/settings/sdk.html"
    tab = "settings"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(typed="")

    def context(self) -> dict[str, Any]:
        context = super().context()
        if self.environment is None:
            return context
        keys = list(self.environment.api_keys.all()) if self.may_see_server_keys else []
        first = next((each.key for each in keys if self._is_valid(each)), "")
        url = snippets.server_url(self.request)
        rendered = [
            each.rendered(url, self.environment.api_key, first or snippets.NO_SERVER_KEY) for each in snippets.SNIPPETS
        ]
        return {**context, "keys": keys, "has_server_key": bool(first), "snippets": rendered, "now": timezone.now()}

    @cached_property
    def disabled_reason(self) -> str:
        """The reason why this user cannot use the switch; "" if they can. The API checks again."""
        if not self.is_project_admin:
            return NOT_ADMIN
        plan = plan_of(self.project.organisation)
        if not self.project.enable_realtime_updates and not plan_allows(plan):
            subject = f"The plan of {self.project.organisation.name}, “{plan}”," if plan else "An organisation"
            return f"{subject} {'does' if plan else 'without a plan does'} not include real-time updates."
        return ""

    @cached_property
    def may_see_server_keys(self) -> bool:
        return self.environment is not None and bool(self.environment.administered)  # type: ignore[attr-defined]

    def path(self) -> str:
        return reverse("dashboard:sdk-settings", args=[self.project.pk])

    @property
    def target_environment(self) -> Environment:
        """The environment of ``?env=``. A change never falls back to the environment shown last."""
        key = self.request.GET.get("env")
        found = next((each for each in self.environments if each.api_key == key), None)
        if found is None:
            raise Http404
        return found

    @staticmethod
    def _is_valid(key: EnvironmentAPIKey) -> bool:
        return key.active and (key.expires_at is None or key.expires_at > timezone.now())


class RealtimeSwitch(SDKPage):
    """Turn the project's real-time updates on or off."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        enabled = request.POST.get("enabled") == "true"
        response = self.call("PATCH", f"projects/{self.project.pk}/", {"enable_realtime_updates": enabled})
        error = " ".join(text for texts in response.errors.values() for text in texts)
        message = f"Real-time updates are {'on' if enabled else 'off'}."
        return self.redirect(self.path(), "" if error else message, error=error)


class NewKey(SDKPage):
    """Create a server-side key of the environment ``?env=``."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = request.POST.get("name", "")
        response = self.call("POST", f"environments/{self.target_environment.api_key}/api-keys/", {"name": name})
        if not response.ok:
            return self.render(status=response.status, typed=name, errors=response.errors, message=response.message)
        return self.redirect(self.path(), f"The key “{response.data['name']}” is there.")


class RevokeKey(SDKPage):
    """Delete a server-side key of the environment ``?env=``. GET shows a confirmation page."""

    template = "dashboard/settings/revoke_key.html"

    def get(self, request: HttpRequest, key_pk: int, **kwargs: str) -> HttpResponse:
        environment = self.target_environment
        key = environment.api_keys.filter(pk=key_pk).first() if self.may_see_server_keys else None
        if key is None:
            raise Http404
        return self.render(key=key)

    def post(self, request: HttpRequest, key_pk: int, **kwargs: str) -> HttpResponse:
        response = self.call("DELETE", f"environments/{self.target_environment.api_key}/api-keys/{key_pk}/")
        return self.redirect(self.path(), "The key is revoked." if response.ok else "", error=response.message)
