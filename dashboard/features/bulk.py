"""Switch or archive many features at once."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from dashboard.api import APIResponse
from dashboard.features.state_changes import StateChange, change_states
from dashboard.features.views import FeaturesPage
from features.models import Feature

MAX_FEATURES = 50
"""The features of one page of the list."""

ACTIONS = {"on": "on", "off": "off", "archive": "archived", "restore": "back in the list"}


class ChangeMany(FeaturesPage):
    """All of the chosen features are changed, or none. If flags need approval, switches become one change request."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        action = request.POST.get("action", "")
        features = self.chosen
        back = self.back(self.list_url)
        if action not in ACTIONS or not features:
            return self.redirect(back, error="Choose features, and what to do with them.")
        subject = "1 feature is" if len(features) == 1 else f"{len(features)} features are"
        message = f"{subject} {ACTIONS[action]}."
        if action in ("archive", "restore"):
            response = self._archive(features, archived=action == "archive")
            return self.redirect_after(response, back, message)
        changes = [StateChange(feature.pk, enabled=action == "on") for feature in features]
        title = f"Turn {len(features)} features {action} in {self.environment.name}"
        outcome = change_states(self, self.environment, changes, title)
        return outcome.redirect(self, back, message)

    @property
    def chosen(self) -> list[Feature]:
        pks = [int(pk) for pk in self.request.POST.getlist("feature")[:MAX_FEATURES] if pk.isdecimal() and len(pk) < 19]
        return list(self.project.features.filter(pk__in=pks).order_by("name"))

    def _archive(self, features: list[Feature], *, archived: bool) -> APIResponse:
        response = APIResponse(200, None)
        with transaction.atomic():
            for feature in features:
                path = f"projects/{self.project.pk}/features/{feature.pk}/"
                response = self.call("PATCH", path, {"is_archived": archived})
                if not response.ok:
                    transaction.set_rollback(True)
                    break
        return response
