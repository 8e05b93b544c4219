"""Project settings > SDK settings: real time on and off, the keys, and what to write into an application."""

from functools import cached_property
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from dashboard.places import ProjectPage
from dashboard.settings import snippets
from environments.models import Environment, EnvironmentAPIKey
from projects.services import plan_of
from realtime.hosts import plan_allows

NOT_ADMIN = "Only admins of the project may change this."


class SDKPage(ProjectPage):
    template = "dashboard/settings/sdk.html"
    tab = "settings"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.show(typed="")

    def context(self) -> dict[str, Any]:
        context = super().context()
        if self.environment is None:
            return context
        keys = list(self.environment.api_keys.all()) if self.sees_server_keys else []
        first = next((each.key for each in keys if self._is_good(each)), "")
        url = snippets.server_url(self.request)
        filled = [
            each.filled(url, self.environment.api_key, first or snippets.NO_SERVER_KEY) for each in snippets.SNIPPETS
        ]
        return {**context, "keys": keys, "has_server_key": bool(first), "snippets": filled, "now": timezone.now()}

    @cached_property
    def why_not(self) -> str:
        """Why the switch cannot be used by this user; "" when it can. The API decides again when it is used."""
        if not self.is_project_admin:
            return NOT_ADMIN
        plan = plan_of(self.project.organisation)
        if not self.project.enable_realtime_updates and not plan_allows(plan):
            subscribed = f"The plan of {self.project.organisation.name}, “{plan}”," if plan else "An organisation"
            return f"{subscribed} {'does' if plan else 'without a plan does'} not include real-time updates."
        return ""

    @cached_property
    def sees_server_keys(self) -> bool:
        return self.environment is not None and bool(self.environment.administered)  # type: ignore[attr-defined]

    def here(self) -> str:
        return reverse("dashboard:sdk-settings", args=[self.project.pk])

    @property
    def named(self) -> Environment:
        """The environment of ``?env=``, for changes: never another one."""
        wanted = self.request.GET.get("env")
        found = next((each for each in self.environments if each.api_key == wanted), None)
        if found is None:
            raise Http404
        return found

    @staticmethod
    def _is_good(key: EnvironmentAPIKey) -> bool:
        return key.active and (key.expires_at is None or key.expires_at > timezone.now())


class RealtimeSwitch(SDKPage):
    """Turn the project's real-time updates on or off."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        wanted = request.POST.get("enabled") == "true"
        answer = self.call("PATCH", f"projects/{self.project.pk}/", {"enable_realtime_updates": wanted})
        refused = " ".join(text for texts in answer.errors.values() for text in texts)
        told = f"Real-time updates are {'on' if wanted else 'off'}."
        return self.go(self.here(), "" if refused else told, refused=refused)


class NewKey(SDKPage):
    """Make a server-side key of the environment ``?env=``."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = request.POST.get("name", "")
        answer = self.call("POST", f"environments/{self.named.api_key}/api-keys/", {"name": name})
        if not answer.ok:
            return self.show(status=answer.status, typed=name, errors=answer.errors, message=answer.message)
        return self.go(self.here(), f"The key “{answer.data['name']}” is there.")


class RevokeKey(SDKPage):
    """Delete a server-side key of the environment ``?env=``, after a question."""

    template = "dashboard/settings/revoke_key.html"

    def get(self, request: HttpRequest, key_pk: int, **kwargs: str) -> HttpResponse:
        environment = self.named
        key = environment.api_keys.filter(pk=key_pk).first() if self.sees_server_keys else None
        if key is None:
            raise Http404
        return self.show(key=key)

    def post(self, request: HttpRequest, key_pk: int, **kwargs: str) -> HttpResponse:
        answer = self.call("DELETE", f"environments/{self.named.api_key}/api-keys/{key_pk}/")
        return self.go(self.here(), "The key is revoked." if answer.ok else "", refused=answer.message)
