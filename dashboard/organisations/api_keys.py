"""An organisation's API keys (Flagsmith's master API keys): created, shown once, and revoked."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from dashboard.organisations.pages import OrganisationSettingsPage
from dashboard.times import utc_time


class APIKeysPage(OrganisationSettingsPage):
    template = "dashboard/organisations/api_keys.html"
    section = "keys"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_keys(200)

    def render_keys(self, status: int, **content: Any) -> HttpResponse:
        keys = self.organisation.master_api_keys.filter(revoked=False).order_by("-created", "id")
        return self.render(status, keys=self.slice(keys), **content)


class NewAPIKey(APIKeysPage):
    """Create a key. The response shows it: only a hash of it is stored."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = {"name": request.POST.get("name", ""), "expiry_date": request.POST.get("expiry_date", "")}
        body = {**typed, "expiry_date": utc_time(typed["expiry_date"])}
        response = self.call("POST", f"{self.api_path}master-api-keys/", body)
        if not response.ok:
            content = {"typed": typed, "errors": response.errors, "message": response.non_field_error}
            return self.render_keys(response.status, **content)
        return self.render_keys(200, created=response.data)


class RevokeAPIKey(APIKeysPage):
    def get(self, request: HttpRequest, prefix: str, **kwargs: str) -> HttpResponse:
        key = self.organisation.master_api_keys.filter(revoked=False, prefix=prefix).first()
        if key is None:
            raise Http404
        effect = "Scripts that come with it are refused from then on."
        return self.confirm(f"Revoke “{key.name}”?", effect, "Revoke the key", self.url("organisation-keys"))

    def post(self, request: HttpRequest, prefix: str, **kwargs: str) -> HttpResponse:
        response = self.call("DELETE", f"{self.api_path}master-api-keys/{prefix}/")
        return self.redirect_after(response, self.url("organisation-keys"), "The key is revoked.")
