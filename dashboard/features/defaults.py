"""Changes of environment defaults by other pages than the feature's form: copies, restored values, many at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.http import Http404, HttpResponse

from core.locks import lock_environment
from dashboard.api import APIResponse
from dashboard.features.editors import percent
from dashboard.features.values import FormValue
from dashboard.pages import Page
from dashboard.scoped_pages import change_request_url
from environments.models import Environment

MAX_TITLE_LENGTH = 500


@dataclass(frozen=True)
class DefaultChange:
    """The new fields of a feature's environment default. None: the field stays as it is."""

    feature: int
    enabled: bool | None = None
    value: FormValue | None = None
    weights: Mapping[int, float] = field(default_factory=dict)
    """Percentages by option."""

    @property
    def flag_patch(self) -> dict[str, Any]:
        """The format of ``/api/__future__/``."""
        patch: dict[str, Any] = {} if self.enabled is None else {"enabled": self.enabled}
        if self.value is not None:
            patch["value"] = self.value.as_flag_value()
        if self.weights:
            patch["variants"] = [{"id": pk, "weight": percent(weight)} for pk, weight in self.weights.items()]
        return patch

    @property
    def planned_state(self) -> dict[str, Any]:
        """The format of change requests."""
        state: dict[str, Any] = {"feature": self.feature}
        if self.enabled is not None:
            state["enabled"] = self.enabled
        if self.value is not None:
            state["feature_state_value"] = self.value.as_columns()
        if self.weights:
            state["multivariate_feature_state_values"] = [
                {"multivariate_feature_option": pk, "percentage_allocation": percent(weight)}
                for pk, weight in self.weights.items()
            ]
        return state


@dataclass(frozen=True)
class Outcome:
    response: APIResponse
    request_url: str = ""
    """Of the change request, if the environment requires approval."""

    def redirect(self, page: Page, url: str, message: str) -> HttpResponse:
        """Redirect to the proposal, or to ``url`` with the message or the error."""
        if self.request_url:
            return page.redirect(self.request_url, "Proposed. It changes nothing until it is committed.")
        return page.redirect(url, message if self.response.ok else "", error=self.response.message)


def change_defaults(page: Page, environment: Environment, changes: list[DefaultChange], title: str) -> Outcome:
    """Make all of the changes in one transaction, or none. If flags need approval, propose them by one change request.

    Returns the last response, or the first error.
    """
    with transaction.atomic():
        if lock_for_change(environment):
            return _propose(page, environment, changes, title)
        response = APIResponse(200, None)
        for change in changes:
            path = f"/api/__future__/environments/{environment.api_key}/features/{change.feature}/"
            response = page.call("PATCH", path, {"environment_default": change.flag_patch})
            if not response.ok:
                transaction.set_rollback(True)
                break
    return Outcome(response)


def lock_for_change(environment: Environment) -> bool:
    """Lock the environment, and return whether its flags need approval."""
    lock_environment(environment.pk)
    try:
        environment.refresh_from_db(fields=["minimum_change_request_approvals"])
    except Environment.DoesNotExist:
        raise Http404 from None
    return environment.minimum_change_request_approvals is not None


def _propose(page: Page, environment: Environment, changes: list[DefaultChange], title: str) -> Outcome:
    body = {"title": title[:MAX_TITLE_LENGTH], "feature_states": [change.planned_state for change in changes]}
    response = page.call("POST", f"environments/{environment.api_key}/create-change-request/", body)
    return Outcome(response, change_request_url(environment, response.data["id"]) if response.ok else "")
