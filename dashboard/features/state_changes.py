"""Changes of environment defaults and segment overrides by other pages than a state's form.

These are copies, restored states, and many features at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.http import HttpResponse

from core.locks import lock_environment
from dashboard.api import APIResponse
from dashboard.features.editors import percent
from dashboard.features.proposals import PROPOSED
from dashboard.features.values import FormValue
from dashboard.pages import Page
from dashboard.scoped_pages import change_request_url, refresh_approvals
from environments.models import Environment
from features.feature_segments.services import live_feature_segments, next_priority
from features.models import FeatureSegment

MAX_TITLE_LENGTH = 500


@dataclass(frozen=True)
class StateChange:
    """The new fields of a feature's environment default, or of its override for a segment. None: the field stays."""

    feature: int
    enabled: bool | None = None
    value: FormValue | None = None
    weights: Mapping[int, float] = field(default_factory=dict)
    """Percentages by option."""

    segment: int | None = None
    """None: the environment default."""

    def flag_patch(self, environment: Environment) -> dict[str, Any]:
        """The body of a PATCH of ``/api/__future__/``. A new override is added as the last one."""
        patch: dict[str, Any] = {} if self.enabled is None else {"enabled": self.enabled}
        if self.value is not None:
            patch["value"] = self.value.as_flag_value()
        if self.weights:
            patch["variants"] = [{"id": pk, "weight": percent(weight)} for pk, weight in self.weights.items()]
        if self.segment is None:
            return {"environment_default": patch}
        if not live_feature_segments(environment.pk, self.feature).filter(segment=self.segment).exists():
            patch["priority"] = next_priority(environment.pk, self.feature)
        return {"segment_overrides": [{"segment": {"id": self.segment}, **patch}]}

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
            return page.redirect(self.request_url, PROPOSED)
        return page.redirect_after(self.response, url, message)


def change_states(page: Page, environment: Environment, changes: list[StateChange], title: str) -> Outcome:
    """Make all of the changes in one transaction, or none. If flags need approval, propose them by one change request.

    Returns the last response, or the first error.
    """
    with transaction.atomic():
        if lock_for_change(environment):
            return _propose(page, environment, changes, title)
        response = APIResponse(200, None)
        for change in changes:
            path = f"/api/__future__/environments/{environment.api_key}/features/{change.feature}/"
            response = page.call("PATCH", path, change.flag_patch(environment))
            if not response.ok:
                transaction.set_rollback(True)
                break
    return Outcome(response)


def lock_for_change(environment: Environment) -> bool:
    """Lock the environment, and return whether its flags need approval."""
    lock_environment(environment.pk)
    refresh_approvals(environment)
    return environment.minimum_change_request_approvals is not None


def _propose(page: Page, environment: Environment, changes: list[StateChange], title: str) -> Outcome:
    response = propose_states(page, environment, changes, title)
    if not response.ok:
        transaction.set_rollback(True)
    return Outcome(response, change_request_url(environment, response.data["id"]) if response.ok else "")


def propose_states(
    page: Page, environment: Environment, changes: list[StateChange], title: str, **more: Any
) -> APIResponse:
    """Create a change request with these states, and with ``more`` fields. Returns the request, or the first error.

    A new override gets its feature segment before, which has no effect as long as it has no live state.
    """
    overrides = FeatureSegment.objects.filter(
        environment=environment.pk, feature__in={each.feature for each in changes}
    )
    overrides = overrides.filter(segment__in={each.segment for each in changes if each.segment is not None})
    keys = ("feature", "segment", "pk")
    # A segment may have several; the one with a live state is used.
    live = overrides.filter(feature_states__version__isnull=False)
    found = {(feature, segment): pk for rows in (overrides, live) for feature, segment, pk in rows.values_list(*keys)}
    states = []
    for change in changes:
        state = change.planned_state
        if change.segment is not None:
            target = (change.feature, change.segment)
            if target not in found:
                body: dict[str, Any] = {
                    "feature": change.feature,
                    "segment": change.segment,
                    "environment": environment.pk,
                }
                response = page.call("POST", "features/feature-segments/", body)
                if not response.ok:
                    return response
                found[target] = response.data["id"]
            state["feature_segment"] = found[target]
        states.append(state)
    proposal = {"title": title[:MAX_TITLE_LENGTH], "feature_states": states, **more}
    return page.call("POST", f"environments/{environment.api_key}/create-change-request/", proposal)
