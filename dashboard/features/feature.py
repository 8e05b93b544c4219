"""The page of one feature in one environment: what everybody gets, and what the members of segments get instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.features.editors import Editor, editor_of, errors_of, read_weights, value_of_state
from dashboard.features.one import WORKFLOW_ON, OneFeaturePage
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

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page()

    @property
    def edited(self) -> Editor:
        """The form that is sent from here, as it is without what somebody types."""
        return self.everybody

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        sent = self.edited.sent(request.POST)
        match request.POST.get("action"):
            case "schedule" | "propose" as action:
                return self.ask(sent, request.POST, commit=action == "schedule")
        return self.save(sent)

    def save(self, sent: Editor) -> HttpResponse:
        """In one call, which makes one event at most."""
        if sent.value.problem:
            return self.page(400, everybody=sent.refused({"value": [sent.value.problem]}))
        answer = self.call("PATCH", self.place_in_api, {"environment_default": sent.flag_part(self.everybody)})
        if answer.ok:
            told = f"Saved. {self.feature.name} is {'on' if sent.enabled else 'off'} in {self.environment.name}."
            return self.go(self.url("feature"), told)
        refused = sent.refused(errors_of(answer))
        return self.page(answer.status, everybody=refused, proposing=answer.status == WORKFLOW_ON)

    def ask(self, sent: Editor, form: Mapping[str, str], *, commit: bool) -> HttpResponse:
        part = sent.request_part(self.everybody)
        made, errors = self.propose(sent, form, part, whose="", commit=commit)
        if made is None:
            return self.page(400, everybody=sent.refused(errors))
        return self.asked_for(made, commit=commit, back=self.url("feature"))

    def page(self, status: int = 200, **changed: Any) -> HttpResponse:
        """``changed``: an editor that was sent and refused, and what else is not as it would be."""
        return self.show(status, **{**self.content(), **changed})

    def content(self) -> dict[str, Any]:
        others = [(each, self.defaults.get(each.pk)) for each in self.environments if each.pk != self.environment.pk]
        states = [self.default.pk, *(each.state.pk for each in self.overrides)]
        return {
            "everybody": self.everybody,
            "overrides": self.overrides,
            "elsewhere": [(each, Row(state)) for each, state in others if state is not None],
            "entries": self.entries(states),
            "proposing": self.needs_approval,
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
