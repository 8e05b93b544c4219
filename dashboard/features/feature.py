"""The page of one feature in one environment: what everybody gets, and what the members of segments get instead."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.api import Answer
from dashboard.edits import token
from dashboard.features.editors import Editor, editor_of, errors_of, read_weights, value_of_state
from dashboard.features.one import OneFeaturePage
from dashboard.features.values import Typed
from features.models import FeatureState, FeatureType
from segments.models import Segment


@dataclass(frozen=True)
class Row:
    """A state in a list."""

    state: FeatureState

    @property
    def value(self) -> Typed:
        return Typed.of(value_of_state(self.state))

    @property
    def segment(self) -> Segment:
        assert self.state.feature_segment is not None
        return self.state.feature_segment.segment

    @property
    def place(self) -> int | None:
        """The feature segment's primary key."""
        return self.state.feature_segment_id


class FeatureView(OneFeaturePage):
    """The tab "Value". Posted to, it changes what everybody gets."""

    template = "dashboard/features/feature.html"

    slot = "everybody"
    """By which name the template has the form that is sent from here."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page(self.edited.offered(request.GET))

    @property
    def edited(self) -> Editor:
        """The form that is sent from here, as it is without what somebody types."""
        return self.everybody

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        action = request.POST.get("action")
        with self.locked_environment():
            sent = self.edited.sent(request.POST)
            if action in ("schedule", "propose"):
                answer = sent.local_refusal or self.ask(sent, commit=action == "schedule")
            else:
                answer = sent.local_refusal or self.save(sent)
        if not answer.ok:
            return self.page(sent.refused(errors_of(answer)), answer.status)
        if action == "propose":
            return self.go(self.request_url(answer.data["id"]), "Proposed. It changes nothing until it is committed.")
        if action == "schedule":
            return self.go(self.url("feature"), "Scheduled. It goes live by itself, and can be deleted until then.")
        return self.go(self.url("feature"), self.saved(sent))

    def save(self, sent: Editor) -> Answer:
        """In one call, which makes one event at most."""
        return self.change_flag("PATCH", self.place_in_api, {"environment_default": sent.flag_part(self.everybody)})

    def saved(self, sent: Editor) -> str:
        return f"Saved. {self.feature.name} is {'on' if sent.enabled else 'off'} in {self.environment.name}."

    def ask(self, sent: Editor, *, commit: bool) -> Answer:
        return self.propose(sent, sent.request_part(self.everybody), commit=commit)

    def page(self, editor: Editor, status: int = 200) -> HttpResponse:
        """With the form that is sent from here as it was sent, if it was refused."""
        return self.show(status, **{**self.content(), self.slot: editor})

    def content(self) -> dict[str, Any]:
        others = [(each, self.defaults.get(each.pk)) for each in self.environments if each.pk != self.environment.pk]
        states = [self.default.pk, *(each.state.pk for each in self.overrides)]
        return {
            "everybody": self.everybody,
            "overrides": self.overrides,
            "elsewhere": [(each, Row(state)) for each, state in others if state is not None],
            "entries": self.entries(states),
            "proposing": self.needs_approval,
            "may_click": self.may(self.override_permission),
            "may_reorder": self.may_override and not self.needs_approval,
            "shown_order": token({"order": [str(each.place) for each in self.overrides]}),
        }

    @cached_property
    def states(self) -> list[FeatureState]:
        """The live ones: each environment's, and those of this environment's segments."""
        here = Q(environment=self.environment.pk)
        in_all = Q(feature_segment=None, environment__in=[each.pk for each in self.environments])
        return list(self._live().filter(here | in_all).order_by("feature_segment__priority", "feature_segment"))

    def _live(self) -> QuerySet[FeatureState]:
        live = FeatureState.objects.filter(feature=self.feature, identity=None, version__isnull=False)
        return live.select_related("feature_state_value", "feature_segment__segment")

    @cached_property
    def defaults(self) -> dict[int, FeatureState]:
        """What environments say to everybody, by their primary keys."""
        return {each.environment_id: each for each in self.states if each.feature_segment_id is None}

    @cached_property
    def default(self) -> FeatureState:
        found = self.defaults.get(self.environment.pk)
        if found is None:
            raise Http404
        return found

    @cached_property
    def overrides(self) -> list[Row]:
        """The strongest first."""
        return [Row(each) for each in self.states if each.feature_segment_id is not None]

    @cached_property
    def everybody(self) -> Editor:
        weights = read_weights(self.feature, self.default) if self.is_multivariate else ()
        return editor_of("everybody", self.default, weights)

    @property
    def is_multivariate(self) -> bool:
        return self.feature.type == FeatureType.MULTIVARIATE
