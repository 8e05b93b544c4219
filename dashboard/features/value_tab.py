"""The tab "Value" of a feature: its environment default and its segment overrides."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.api import APIResponse
from dashboard.edits import encoded_digests
from dashboard.features.editors import Editor, editor_of, form_errors, read_weights, value_of_state
from dashboard.features.proposals import PROPOSED
from dashboard.features.tab import FeatureTab
from dashboard.features.values import FormValue
from features.models import FeatureState, FeatureType
from segments.models import Segment


@dataclass(frozen=True)
class Row:
    """A state as a row of a list."""

    state: FeatureState

    @property
    def value(self) -> FormValue:
        return FormValue.from_stored(value_of_state(self.state))

    @property
    def segment(self) -> Segment:
        assert self.state.feature_segment is not None
        return self.state.feature_segment.segment

    @property
    def feature_segment_id(self) -> int | None:
        return self.state.feature_segment_id


class ValueTab(FeatureTab):
    """The tab "Value". A POST changes the environment default."""

    template = "dashboard/features/feature.html"

    editor_name = "everybody"
    """The template variable of the form that posts to this view."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_editor(self.stored_editor.with_query(request.GET))

    @property
    def stored_editor(self) -> Editor:
        """The form that posts to this view, with the stored state."""
        return self.everybody

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        action = request.POST.get("action")
        with self.locked_environment():
            submitted = self.stored_editor.with_input(request.POST)
            if action in ("schedule", "propose"):
                response = submitted.local_error or self.propose_change(submitted, commit=action == "schedule")
            else:
                response = submitted.local_error or self.save(submitted)
        if not response.ok:
            return self.render_editor(submitted.with_errors(form_errors(response)), response.status)
        if action == "propose":
            return self.redirect(self.request_url(response.data["id"]), PROPOSED)
        if action == "schedule":
            return self.redirect(
                self.url("feature"), "Scheduled. It goes live by itself, and can be deleted until then."
            )
        return self.redirect(self.url("feature"), self.saved_message(submitted))

    def save(self, submitted: Editor) -> APIResponse:
        """Save by one API call, so that there is at most one event."""
        return self.change_flag(
            "PATCH", self.flag_api_path, {"environment_default": submitted.flag_patch(self.everybody)}
        )

    def saved_message(self, submitted: Editor) -> str:
        return f"Saved. {self.feature.name} is {'on' if submitted.enabled else 'off'} in {self.environment.name}."

    def propose_change(self, submitted: Editor, *, commit: bool) -> APIResponse:
        return self.propose(submitted, submitted.change_request_patch(self.everybody), commit=commit)

    def render_editor(self, editor: Editor, status: int = 200) -> HttpResponse:
        """Render the tab with ``editor`` as the form that posts to this view."""
        return self.render(status, **{**self.tab_context(), self.editor_name: editor})

    def tab_context(self) -> dict[str, Any]:
        others = [(each, self.defaults.get(each.pk)) for each in self.environments if each.pk != self.environment.pk]
        return {
            "everybody": self.everybody,
            "overrides": self.overrides,
            "other_environments": [(each, Row(state)) for each, state in others if state is not None],
            "audit_entries": self.audit_entries(),
            "proposing": self.needs_approval,
            "may_click": self.has_environment_permission(self.override_permission),
            "may_reorder": self.may_override and not self.needs_approval,
            "order_digests": encoded_digests({"order": [str(each.feature_segment_id) for each in self.overrides]}),
        }

    @cached_property
    def states(self) -> list[FeatureState]:
        """The live states: the default of each environment, and this environment's segment overrides."""
        in_environment = Q(environment=self.environment.pk)
        defaults = Q(feature_segment=None, environment__in=[each.pk for each in self.environments])
        return list(
            self._live_states()
            .filter(in_environment | defaults)
            .order_by("feature_segment__priority", "feature_segment")
        )

    def _live_states(self) -> QuerySet[FeatureState]:
        live = FeatureState.objects.filter(feature=self.feature, identity=None, version__isnull=False)
        return live.select_related("feature_state_value", "feature_segment__segment")

    @cached_property
    def defaults(self) -> dict[int, FeatureState]:
        """The environment defaults by the environment's primary key."""
        return {each.environment_id: each for each in self.states if each.feature_segment_id is None}

    @cached_property
    def default(self) -> FeatureState:
        found = self.defaults.get(self.environment.pk)
        if found is None:
            raise Http404
        return found

    @cached_property
    def overrides(self) -> list[Row]:
        """The segment overrides, highest priority first."""
        return [Row(each) for each in self.states if each.feature_segment_id is not None]

    @cached_property
    def everybody(self) -> Editor:
        """The form of the environment default."""
        weights = read_weights(self.feature, self.default) if self.is_multivariate else ()
        return editor_of("everybody", self.default, weights)

    @property
    def is_multivariate(self) -> bool:
        return self.feature.type == FeatureType.MULTIVARIATE
