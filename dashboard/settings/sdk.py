"""The page Project settings > SDK settings: the real-time switch, environment keys, and code snippets for SDKs."""

from datetime import UTC
from functools import cached_property
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from dashboard.edits import Edit, describe_field, encoded_digests
from dashboard.scoped_pages import ProjectPage
from dashboard.settings import snippets
from dashboard.times import utc_time
from environments.models import Environment, EnvironmentAPIKey
from projects.services import plan_of
from realtime.hosts import plan_allows

NOT_ADMIN = "Only admins of the project may change this."

KEY_LABELS = {"name": "The name", "expires_at": "The end", "active": "The key"}


class SDKPage(ProjectPage):
    template = "dashboard/settings/sdk.html"
    tab = "settings"
    section = "sdk"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(typed="")

    def context(self) -> dict[str, Any]:
        context = super().context()
        if self.environment is None:
            return context
        keys = list(self.environment.api_keys.all()) if self.may_see_server_keys else []
        first = next((each.key for each in keys if snippets.is_valid(each)), "")
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
        name, ends = request.POST.get("name", ""), request.POST.get("expires_at", "")
        body = {"name": name, "expires_at": utc_time(ends)}
        response = self.call("POST", f"environments/{self.target_environment.api_key}/api-keys/", body)
        if not response.ok:
            content = {"typed": name, "typed_end": ends, "errors": response.errors, "message": response.message}
            return self.render(status=response.status, **content)
        return self.redirect(self.path(), f"The key “{response.data['name']}” is there.")


class KeyPage(SDKPage):
    """A page about a server-side key of the environment ``?env=``."""

    def key(self, pk: int) -> EnvironmentAPIKey:
        environment = self.target_environment
        found = environment.api_keys.filter(pk=pk).first() if self.may_see_server_keys else None
        if found is None:
            raise Http404
        return found

    def api_path(self, pk: int) -> str:
        return f"environments/{self.target_environment.api_key}/api-keys/{pk}/"


class EditKey(KeyPage):
    """Change a key's name and end, or turn it off. The key itself stays the same."""

    template = "dashboard/settings/key.html"

    def get(self, request: HttpRequest, key_pk: int, **kwargs: str) -> HttpResponse:
        key = self.key(key_pk)
        return self.render(key=key, typed=stored_key(key), digests=encoded_digests(stored_key(key)))

    def post(self, request: HttpRequest, key_pk: int, **kwargs: str) -> HttpResponse:
        typed = {"name": request.POST.get("name", ""), "expires_at": request.POST.get("expires_at", "")}
        with self.locked_project():
            key = self.key(key_pk)
            stored = stored_key(key)
            edit = Edit(request.POST, stored=stored, typed={**typed, "active": "active" in request.POST})
            body = {**edit.typed, "expires_at": utc_time(typed["expires_at"])}
            path = self.api_path(key_pk)
            response = self.save(path, edit, lambda name: describe_field(KEY_LABELS[name], stored[name]), body=body)
        if not response.ok:
            content = {"key": key, "typed": edit.merged, "digests": encoded_digests(stored)}
            return self.render(response.status, **content, errors=response.errors, message=response.non_field_error)
        return self.redirect(self.path(), "The key is saved.")


class RevokeKey(KeyPage):
    """Delete a key. GET shows a confirmation page."""

    template = "dashboard/settings/revoke_key.html"

    def get(self, request: HttpRequest, key_pk: int, **kwargs: str) -> HttpResponse:
        return self.render(key=self.key(key_pk))

    def post(self, request: HttpRequest, key_pk: int, **kwargs: str) -> HttpResponse:
        response = self.call("DELETE", self.api_path(key_pk))
        return self.redirect_after(response, self.path(), "The key is revoked.")


def stored_key(key: EnvironmentAPIKey) -> dict[str, Any]:
    """The stored fields in the form's types."""
    ends = "" if key.expires_at is None else f"{key.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M}"
    return {"name": key.name, "expires_at": ends, "active": key.active}
