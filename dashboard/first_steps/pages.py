"""First steps in a new project: the first flag, the code that connects an application, and its arrival."""

from functools import cached_property
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode

from app_analytics.models import BILLABLE, APIUsageBucket
from dashboard.scoped_pages import EnvironmentPage
from dashboard.settings import snippets
from features.models import Feature
from realtime.inspector.panel import panel

EXAMPLE = "banner"
"""The feature's name in the code for SDKs."""

KEY_NAME = "First application"


class FirstStepsPage(EnvironmentPage):
    template = "dashboard/first_steps/page.html"
    tab = "features"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_steps(200, typed={"name": EXAMPLE})

    def render_steps(self, status: int, **content: Any) -> HttpResponse:
        chosen = next((each for each in snippets.SNIPPETS if each.id == self.sdk), snippets.SNIPPETS[0])
        url = snippets.server_url(self.request)
        key = self.server_key
        return self.render(
            status,
            sdks=snippets.SNIPPETS,
            snippet=chosen.rendered(url, self.environment.api_key, key or snippets.NO_SERVER_KEY),
            lacks_server_key=chosen.needs_server_key and not key,
            feature=self.first_feature,
            may_create=self.has_project_permission("CREATE_FEATURE"),
            arrival=self.arrival,
            **content,
        )

    @property
    def sdk(self) -> str:
        return self.request.GET.get("sdk", "")

    @cached_property
    def first_feature(self) -> Feature | None:
        return self.project.features.order_by("pk").first()

    @cached_property
    def server_key(self) -> str:
        """A server-side key that is valid and that the user may see; "" if there is none."""
        keys = self.environment.api_keys.all() if self.is_environment_admin else ()
        return next((each.key for each in keys if snippets.is_valid(each)), "")

    @property
    def arrival(self) -> str:
        """ "stream" or "request" when an application has connected; "" before."""
        if panel(self.environment.api_key, 0).streams:
            return "stream"
        requests = APIUsageBucket.objects.filter(environment_id=self.environment.pk, resource__in=BILLABLE)
        return "request" if requests.exists() else ""

    def url(self, name: str) -> str:
        url = reverse(f"dashboard:{name}", args=[self.project.pk, self.environment.api_key])
        return f"{url}?{urlencode({'sdk': self.sdk})}" if self.sdk else url


class FirstFeature(FirstStepsPage):
    """Create the first feature."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = {"name": request.POST.get("name", "").strip(), "initial_value": request.POST.get("initial_value", "")}
        body: dict[str, Any] = {**typed, "default_enabled": "default_enabled" in request.POST}
        if self.project.enforce_feature_owners:
            body["owners"] = [self.user.pk]
        response = self.call("POST", f"projects/{self.project.pk}/features/", body)
        if not response.ok:
            content = {"typed": typed, "errors": response.errors, "message": response.non_field_error}
            return self.render_steps(response.status, **content)
        return self.redirect(self.url("first-steps"), f"{typed['name']} is there, in all environments.")


class FirstKey(FirstStepsPage):
    """Create a server-side key, for an SDK that needs one."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        path = f"environments/{self.environment.api_key}/api-keys/"
        response = self.call("POST", path, {"name": KEY_NAME})
        return self.redirect(self.url("first-steps"), error=response.message)


class Arrival(FirstStepsPage):
    """The part of the page that waits for the application, for refreshes. 204 while it waits."""

    template = "dashboard/first_steps/arrival.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        arrival = self.arrival
        return self.render(arrival=arrival) if arrival else HttpResponse(status=204)
