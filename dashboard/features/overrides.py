"""A feature's overrides for segments: added, changed, turned on and off, put in another order, removed."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.features.editors import Editor, editor_of, errors_of, read_weights, refusal
from dashboard.features.feature import FeatureView, Row
from dashboard.features.one import WORKFLOW_ON, OneFeaturePage
from features.models import FeatureSegment


class OverrideView(FeatureView):
    """A segment's override, opened in the list."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page(opened=self.editor)

    @property
    def edited(self) -> Editor:
        return self.editor

    def save(self, sent: Editor) -> HttpResponse:
        if sent.value.problem:
            return self.page(400, opened=sent.refused({"value": [sent.value.problem]}))
        part = {"segment": {"id": self.segment_pk(sent)}, **sent.flag_part(self.editor)}
        answer = self.call("PATCH", self.place_in_api, {"segment_overrides": [part]})
        if answer.ok:
            return self.go(self.url("feature"), self.told)
        refused = sent.refused(errors_of(answer))
        return self.page(answer.status, opened=refused, proposing=answer.status == WORKFLOW_ON)

    def ask(self, sent: Editor, form: Mapping[str, str], *, commit: bool) -> HttpResponse:
        part = {"feature_segment": self.override.place, **sent.request_part(self.editor)}
        whose = f" for {self.override.segment.name}"
        made, errors = self.propose(sent, form, part, whose=whose, commit=commit)
        if made is None:
            return self.page(400, opened=sent.refused(errors))
        return self.asked_for(made, commit=commit, back=self.url("feature"))

    told = "The override is saved."

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
        return {**super().content(), "opened_segment": self.override.segment.pk}


class NewOverrideView(OverrideView):
    """A new override, which begins as what everybody gets."""

    told = "The override is added, as the last one."

    def segment_pk(self, sent: Editor) -> Any:
        return sent.chosen

    @cached_property
    def editor(self) -> Editor:
        weights = self.everybody.weights
        return editor_of("new", self.default, weights)

    def ask(self, sent: Editor, form: Mapping[str, str], *, commit: bool) -> HttpResponse:
        """The request needs a place to be for; one without a state overrides nothing yet."""
        body = {"feature": self.feature.pk, "segment": sent.chosen or None, "environment": self.environment.pk}
        errors: dict[str, list[str]] = {}
        with transaction.atomic():
            place = self._place(sent)
            if place is None:
                answer = self.call("POST", "features/feature-segments/", body)
                place, errors = (answer.data["id"], {}) if answer.ok else (0, errors_of(answer))
            if not errors:
                part = {"feature_segment": place, **sent.request_part(self.editor, whole=True)}
                made, errors = self.propose(sent, form, part, whose=self._whose(sent), commit=commit)
            if errors:
                transaction.set_rollback(True)
        if errors or made is None:
            return self.page(400, opened=sent.refused(errors))
        return self.asked_for(made, commit=commit, back=self.url("feature"))

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


class ToggleOverride(OneFeaturePage):
    """Turn an override on or off."""

    def post(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        part = {"segment": {"id": segment_pk}, "enabled": request.POST.get("enabled") == "true"}
        if not self._is_there(segment_pk):
            raise Http404
        answer = self.call("PATCH", self.place_in_api, {"segment_overrides": [part]})
        return self.go(self.url("feature"), refused=refusal(answer))

    def _is_there(self, segment_pk: int) -> bool:
        """The call would make one that is not: it may have been removed meanwhile."""
        places = FeatureSegment.objects.filter(environment=self.environment.pk, feature=self.feature.pk)
        return places.filter(segment__pk=segment_pk, feature_states__version__isnull=False).exists()


class RemoveOverride(OneFeaturePage):
    """Remove an override. GET asks, for those whose browser does not."""

    template = "dashboard/features/feature_removal.html"

    def get(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        segment = self.project.segments.filter(pk=segment_pk).first()
        if segment is None:
            raise Http404
        return self.show(
            question=f"Remove the override for {segment.name}?",
            effect=f"Members of the segment get what everybody gets of {self.feature.name}.",
            action="Remove override",
            allowed=self.may_override,
            back=self.url("feature"),
        )

    def post(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        answer = self.call("DELETE", f"{self.place_in_api}segment-overrides/{segment_pk}/")
        told = "The override is removed." if answer.ok else ""
        return self.go(self.url("feature"), told, refused=refusal(answer))


class OrderOverrides(OneFeaturePage):
    """Put overrides in another order: all of them as they were dragged, or one of them by one place."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        dragged = request.POST.get("order", "")
        order = dragged.split(",") if dragged else self._moved(request.POST)
        body = [{"id": place, "priority": priority} for priority, place in enumerate(order)]
        answer = self.call("POST", "features/feature-segments/update-priorities/", body)
        return self.go(self.url("feature"), self._told(answer.data) if answer.ok else "", refused=refusal(answer))

    def _moved(self, form: Mapping[str, str]) -> list[str]:
        """The places in their new order. Those that override nothing yet are passed over."""
        places = FeatureSegment.objects.filter(environment=self.environment.pk, feature=self.feature.pk)
        order = [str(each) for each in places.values_list("pk", flat=True)]
        live = {str(each) for each in places.filter(feature_states__version__isnull=False).values_list("pk", flat=True)}
        place, step = form.get("place", ""), -1 if form.get("move") == "up" else 1
        if place not in live:
            raise Http404
        shown = [each for each in order if each in live]
        to = shown.index(place) + step
        if 0 <= to < len(shown):
            target = order.index(shown[to])
            order.remove(place)
            order.insert(target, place)
        return order

    def _told(self, places: list[Any]) -> str:
        named = self.request.POST.get("place", "")
        for place in places:
            if str(place["id"]) == named:
                return f"{place['segment_name']} is now number {place['priority'] + 1}."
        return "The order is saved."
