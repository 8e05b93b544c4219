"""A feature's overrides for segments: added, changed, turned on and off, put in another order, removed."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.api import Answer
from dashboard.edits import CONFLICT, Edit, described
from dashboard.features.editors import Editor, editor_of, read_weights, refusal
from dashboard.features.feature import FeatureView, Row
from dashboard.features.one import OneFeaturePage
from dashboard.features.views import NEEDS_APPROVAL
from features.models import FeatureSegment, FeatureState

AS_EVERYBODY = {"as": "everybody"}

NO_ORDER = (
    "This environment's flags are changed by change requests, which cannot hold the order of overrides."
    " Propose other values for the overrides instead."
)


class OverrideView(FeatureView):
    """A segment's override, opened in the list."""

    slot = "opened"

    @property
    def replaces_removal(self) -> bool:
        """Whether this is what is offered in place of the override's removal."""
        return self.needs_approval and self.request.GET.get("as") == AS_EVERYBODY["as"]

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if self.replaces_removal:
            return self.page(self.editor.with_state_of(self.everybody))
        return super().get(request, **kwargs)

    @property
    def edited(self) -> Editor:
        return self.editor

    def save(self, sent: Editor) -> Answer:
        part = {"segment": {"id": self.segment_pk(sent)}, **sent.flag_part(self.editor)}
        return self.change_flag("PATCH", self.place_in_api, {"segment_overrides": [part]})

    def saved(self, sent: Editor) -> str:
        return "The override is saved."

    def ask(self, sent: Editor, *, commit: bool) -> Answer:
        part = {"feature_segment": self.override.place, **sent.request_part(self.editor)}
        return self.propose(sent, part, whose=f" for {self.override.segment.name}", commit=commit)

    def segment_pk(self, sent: Editor) -> Any:
        return self.override.segment.pk

    @cached_property
    def override(self) -> Row:
        found = (each for each in self.overrides if each.segment.pk == self.kwargs["segment_pk"])
        override = next(found, None)
        if override is None:
            raise Http404
        return override

    @cached_property
    def editor(self) -> Editor:
        weights = read_weights(self.feature, self.override.state) if self.is_multivariate else ()
        return editor_of(f"segment-{self.override.segment.pk}", self.override.state, weights)

    def content(self) -> dict[str, Any]:
        return {**super().content(), "opened_segment": self.override.segment.pk, "replacing": self.replaces_removal}


class NewOverrideView(OverrideView):
    """A new override, which begins as what everybody gets."""

    def save(self, sent: Editor) -> Answer:
        # The call would change one that somebody else has made meanwhile. Who may not make one is refused by the call.
        if self.may_override and any(str(each.segment.pk) == sent.chosen for each in self.overrides):
            return Answer(409, {"segment": ["This segment overrides the feature already."]})
        return super().save(sent)

    def saved(self, sent: Editor) -> str:
        return "The override is added, as the last one."

    def segment_pk(self, sent: Editor) -> Any:
        return sent.chosen

    @cached_property
    def editor(self) -> Editor:
        return editor_of("new", self.default, self.everybody.weights)

    def ask(self, sent: Editor, *, commit: bool) -> Answer:
        """The request needs a place to be for; one without a state overrides nothing yet."""
        body = {"feature": self.feature.pk, "segment": sent.chosen or None, "environment": self.environment.pk}
        with transaction.atomic():
            place = self._place(sent)
            answer = Answer(200, {"id": place})
            if place is None:
                answer = self.call("POST", "features/feature-segments/", body)
            if answer.ok:
                part = {"feature_segment": answer.data["id"], **sent.request_part(self.editor, whole=True)}
                answer = self.propose(sent, part, whose=self._whose(sent), commit=commit)
            if not answer.ok:
                transaction.set_rollback(True)
        return answer

    def _place(self, sent: Editor) -> int | None:
        """One that is there already, from an earlier request."""
        places = FeatureSegment.objects.filter(environment=self.environment.pk, feature=self.feature.pk)
        found = {str(segment): pk for segment, pk in places.values_list("segment", "pk")}
        return found.get(sent.chosen)

    def _whose(self, sent: Editor) -> str:
        names = {str(each.pk): each.name for each in self.segments}
        return f" for {names.get(sent.chosen, 'a segment')}"

    @cached_property
    def segments(self) -> list[Any]:
        """Those that do not override the feature yet, and may: their ``pk`` and ``name``."""
        taken = [each.segment.pk for each in self.overrides]
        segments = self.project.segments.filter(Q(feature=None) | Q(feature=self.feature.pk)).exclude(pk__in=taken)
        return list(segments.order_by("name").values_list("pk", "name", named=True))

    def content(self) -> dict[str, Any]:
        return {**FeatureView.content(self), "adding": True, "segments": self.segments}


class SegmentOverridePage(OneFeaturePage):
    """What is done to a segment's override with one click; where flags need approval, it leads to the proposal."""

    def override_url(self, segment_pk: int, **query: str) -> str:
        """The override's form, which proposes what the query says."""
        return f"{self.url('override', segment_pk)}?{urlencode(query)}#override-{segment_pk}"


class ToggleOverride(SegmentOverridePage):
    """Turn an override on or off."""

    def post(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        enabled = request.POST.get("enabled") == "true"
        part = {"segment": {"id": segment_pk}, "enabled": enabled}
        with self.locked_environment():
            if not self._is_there(segment_pk):
                raise Http404
            answer = self.change_flag("PATCH", self.place_in_api, {"segment_overrides": [part]})
        if self.needs_approval:
            proposal = self.override_url(segment_pk, enabled=str(enabled).lower())
            return self.go(proposal, refused=answer.message, whole=True)
        return self.go(self.url("feature"), refused=refusal(answer))

    def _is_there(self, segment_pk: int) -> bool:
        """The call would make one that is not: it may have been removed meanwhile."""
        places = FeatureSegment.objects.filter(environment=self.environment.pk, feature=self.feature.pk)
        return places.filter(segment__pk=segment_pk, feature_states__version__isnull=False).exists()


class RemoveOverride(SegmentOverridePage):
    """Remove an override. GET asks, for those whose browser does not.

    A change request cannot remove one. It can let the segment's members get what everybody gets: that is offered.
    """

    template = "dashboard/features/feature_removal.html"

    def get(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        segment = self.project.segments.filter(pk=segment_pk).first()
        if segment is None:
            raise Http404
        if self.needs_approval:
            return self.go(self.override_url(segment_pk, **AS_EVERYBODY), refused=NEEDS_APPROVAL)
        return self.show(
            question=f"Remove the override for {segment.name}?",
            effect=f"Members of the segment get what everybody gets of {self.feature.name}.",
            action="Remove override",
            allowed=self.may_override,
            back=self.url("feature"),
        )

    def post(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        answer = self.change_flag("DELETE", f"{self.place_in_api}segment-overrides/{segment_pk}/")
        if self.needs_approval:
            return self.go(self.override_url(segment_pk, **AS_EVERYBODY), refused=answer.message, whole=True)
        told = "The override is removed." if answer.ok else ""
        return self.go(self.url("feature"), told, refused=refusal(answer))


class OrderOverrides(OneFeaturePage):
    """Put overrides in another order: all of them as they were dragged, or one of them by one place."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        with self.locked_environment():
            answer = self._order(request.POST)
        return self.go(self.url("feature"), self._told(answer.data) if answer.ok else "", refused=refusal(answer))

    def _order(self, form: Mapping[str, str]) -> Answer:
        """Give the overrides the order that the form asks for, unless it was shown another one than there is."""
        if self.needs_approval:
            return Answer(409, {"detail": NO_ORDER})
        places = self._places()
        live = [str(each.pk) for each in places if each.is_live]
        if Edit(form, stored={"order": live}, typed={}).newer:
            names = [each.segment.name for each in places if each.is_live]
            return Answer(409, {"detail": f"{CONFLICT} {described('The order', names)}"})
        dragged = form.get("order", "")
        order = dragged.split(",") if dragged else _moved(form, [str(each.pk) for each in places], live)
        body = [{"id": place, "priority": priority} for priority, place in enumerate(order)]
        return self.change_flag("POST", "features/feature-segments/update-priorities/", body)

    def _places(self) -> list[Any]:
        """In their order, each with ``is_live``: a place without a live state overrides nothing yet."""
        live = FeatureState.objects.filter(feature_segment=OuterRef("pk"), version__isnull=False)
        places = FeatureSegment.objects.filter(environment=self.environment.pk, feature=self.feature.pk)
        return list(places.select_related("segment").annotate(is_live=Exists(live)).order_by("priority", "pk"))

    def _told(self, places: list[Any]) -> str:
        named = self.request.POST.get("place", "")
        for place in places:
            if str(place["id"]) == named:
                return f"{place['segment_name']} is now number {place['priority'] + 1}."
        return "The order is saved."


def _moved(form: Mapping[str, str], order: list[str], live: list[str]) -> list[str]:
    """The places after one of them was moved by one. Those that override nothing yet are passed over."""
    place, step = form.get("place", ""), -1 if form.get("move") == "up" else 1
    if place not in live:
        raise Http404
    to = live.index(place) + step
    if 0 <= to < len(live):
        target = order.index(live[to])
        order.remove(place)
        order.insert(target, place)
    return order
