"""Segment overrides of a feature: add, change, toggle, reorder, remove."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.api import APIResponse
from dashboard.edits import CONFLICT, Edit, describe_field
from dashboard.features.editors import Editor, editor_of, error_text, read_weights
from dashboard.features.tab import FeatureTab
from dashboard.features.value_tab import Row, ValueTab
from dashboard.features.views import NEEDS_APPROVAL
from features.models import FeatureSegment, FeatureState

# Query of a form that proposes the environment default for the segment, in place of a removal.
AS_EVERYBODY = {"as": "everybody"}

# Query of a form that proposes other values, in place of another order.
AS_ORDER = {"as": "order"}

NO_ORDER = (
    "This environment's flags are changed by change requests, which cannot hold the order of overrides."
    " Propose other values for the overrides instead."
)


class OverrideForm(ValueTab):
    """The form of a segment override, opened in the list."""

    editor_name = "opened"

    @property
    def replaces_removal(self) -> bool:
        """Whether the form proposes the environment default in place of a removal."""
        return self.needs_approval and self.request.GET.get("as") == AS_EVERYBODY["as"]

    @property
    def replaces_order(self) -> bool:
        """Whether the form proposes other values in place of another order."""
        return self.needs_approval and self.request.GET.get("as") == AS_ORDER["as"]

    no_order = NO_ORDER

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if self.replaces_removal:
            return self.render_editor(self.editor.with_state_of(self.everybody))
        return super().get(request, **kwargs)

    @property
    def stored_editor(self) -> Editor:
        return self.editor

    def save(self, submitted: Editor) -> APIResponse:
        part = {"segment": {"id": self.segment_pk(submitted)}, **submitted.flag_patch(self.editor)}
        return self.change_flag("PATCH", self.flag_api_path, {"segment_overrides": [part]})

    def saved_message(self, submitted: Editor) -> str:
        return "The override is saved."

    def propose_change(self, submitted: Editor, *, commit: bool) -> APIResponse:
        part = {"feature_segment": self.override.feature_segment_id, **submitted.change_request_patch(self.editor)}
        return self.propose(submitted, part, title_suffix=f" for {self.override.segment.name}", commit=commit)

    def segment_pk(self, submitted: Editor) -> Any:
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

    def tab_context(self) -> dict[str, Any]:
        return {
            **super().tab_context(),
            "opened_segment": self.override.segment.pk,
            "replacing": self.replaces_removal,
            "reordering": self.replaces_order,
        }


class NewOverrideForm(OverrideForm):
    """The form of a new override. It starts with the environment default."""

    def save(self, submitted: Editor) -> APIResponse:
        # The API call would change an override that another user has created meanwhile.
        if self.may_override and any(str(each.segment.pk) == submitted.chosen for each in self.overrides):
            return APIResponse(409, {"segment": ["This segment overrides the feature already."]})
        return super().save(submitted)

    def saved_message(self, submitted: Editor) -> str:
        return "The override is added, as the last one."

    def segment_pk(self, submitted: Editor) -> Any:
        return submitted.chosen

    @cached_property
    def editor(self) -> Editor:
        return editor_of("new", self.default, self.everybody.weights)

    def propose_change(self, submitted: Editor, *, commit: bool) -> APIResponse:
        # The change request refers to a feature segment, which has no effect as long as it has no live state.
        body = {"feature": self.feature.pk, "segment": submitted.chosen or None, "environment": self.environment.pk}
        with transaction.atomic():
            feature_segment_id = self._feature_segment_id(submitted)
            response = APIResponse(200, {"id": feature_segment_id})
            if feature_segment_id is None:
                response = self.call("POST", "features/feature-segments/", body)
            if response.ok:
                part = {
                    "feature_segment": response.data["id"],
                    **submitted.change_request_patch(self.editor, all_fields=True),
                }
                response = self.propose(submitted, part, title_suffix=self._title_suffix(submitted), commit=commit)
            if not response.ok:
                transaction.set_rollback(True)
        return response

    def _feature_segment_id(self, submitted: Editor) -> int | None:
        """The primary key of a feature segment that an earlier change request has created."""
        feature_segments = FeatureSegment.objects.filter(environment=self.environment.pk, feature=self.feature.pk)
        found = {str(segment): pk for segment, pk in feature_segments.values_list("segment", "pk")}
        return found.get(submitted.chosen)

    def _title_suffix(self, submitted: Editor) -> str:
        names = {str(each.pk): each.name for each in self.segments}
        return f" for {names.get(submitted.chosen, 'a segment')}"

    @cached_property
    def segments(self) -> list[Any]:
        """The segments that can get an override: ``pk`` and ``name``."""
        overridden = [each.segment.pk for each in self.overrides]
        segments = self.project.segments.filter(Q(feature=None) | Q(feature=self.feature.pk)).exclude(pk__in=overridden)
        return list(segments.order_by("name").values_list("pk", "name", named=True))

    def tab_context(self) -> dict[str, Any]:
        return {**ValueTab.tab_context(self), "adding": True, "segments": self.segments}


class SegmentOverridePage(FeatureTab):
    """Base class of one-click actions on a segment override. If flags need approval, they redirect to a proposal."""

    def override_url(self, segment_pk: int, **query: str) -> str:
        """URL of the override's form with the values of the query."""
        return f"{self.url('override', segment_pk)}?{urlencode(query)}#override-{segment_pk}"


class ToggleOverride(SegmentOverridePage):
    """Turn an override on or off."""

    def post(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        enabled = request.POST.get("enabled") == "true"
        part = {"segment": {"id": segment_pk}, "enabled": enabled}
        with self.locked_environment():
            if not self._has_live_override(segment_pk):
                raise Http404
            response = self.change_flag("PATCH", self.flag_api_path, {"segment_overrides": [part]})
        if self.needs_approval:
            proposal = self.override_url(segment_pk, enabled=str(enabled).lower())
            return self.redirect(proposal, error=response.message, full_load=True)
        return self.redirect(self.url("feature"), error=error_text(response))

    def _has_live_override(self, segment_pk: int) -> bool:
        """Checked because the API call would create an override that another user has removed meanwhile."""
        feature_segments = FeatureSegment.objects.filter(environment=self.environment.pk, feature=self.feature.pk)
        return feature_segments.filter(segment__pk=segment_pk, feature_states__version__isnull=False).exists()


class RemoveOverride(SegmentOverridePage):
    """Remove an override. GET shows a confirmation page for browsers without JavaScript.

    A change request cannot remove an override. It can set the override to the environment default: that form is shown.
    """

    template = "dashboard/features/feature_removal.html"

    def get(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        segment = self.project.segments.filter(pk=segment_pk).first()
        if segment is None:
            raise Http404
        if self.needs_approval:
            return self.redirect(self.override_url(segment_pk, **AS_EVERYBODY), error=NEEDS_APPROVAL)
        return self.render(
            question=f"Remove the override for {segment.name}?",
            effect=f"Members of the segment get what everybody gets of {self.feature.name}.",
            action="Remove override",
            allowed=self.may_override,
            back=self.url("feature"),
        )

    def post(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        response = self.change_flag("DELETE", f"{self.flag_api_path}segment-overrides/{segment_pk}/")
        if self.needs_approval:
            return self.redirect(self.override_url(segment_pk, **AS_EVERYBODY), error=response.message, full_load=True)
        message = "The override is removed." if response.ok else ""
        return self.redirect(self.url("feature"), message, error=error_text(response))


class OrderOverrides(SegmentOverridePage):
    """Reorder the overrides: all of them after dragging, or one of them by one position.

    A change request cannot hold the order. It can change the value of the override that was moved: that form is shown.
    """

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        with self.locked_environment():
            response = self._order(request.POST)
        if self.needs_approval and (proposal := self._proposal_url()):
            # The form says why the order stays.
            return self.redirect(proposal, full_load=True)
        return self.redirect(
            self.url("feature"), self._success_message(response.data) if response.ok else "", error=error_text(response)
        )

    def _order(self, form: Mapping[str, str]) -> APIResponse:
        """Save the submitted order. Returns a 409 if the order has changed since the form was rendered."""
        if self.needs_approval:
            return APIResponse(409, {"detail": NO_ORDER})
        feature_segments = self._feature_segments()
        live = [str(each.pk) for each in feature_segments if each.is_live]
        if Edit(form, stored={"order": live}, typed={}).conflicting:
            names = [each.segment.name for each in feature_segments if each.is_live]
            return APIResponse(409, {"detail": f"{CONFLICT} {describe_field('The order', names)}"})
        dragged = form.get("order", "")
        order = (
            dragged.split(",") if dragged else _moved_by_one(form, [str(each.pk) for each in feature_segments], live)
        )
        body = [{"id": pk, "priority": priority} for priority, pk in enumerate(order)]
        return self.change_flag("POST", "features/feature-segments/update-priorities/", body)

    def _proposal_url(self) -> str:
        """URL of the form of the override that was moved by a button; after dragging that of the first one. "" if
        there is none any more."""
        moved = self.request.POST.get("feature_segment", "")
        pks = {str(each.pk): each.segment_id for each in self._feature_segments() if each.is_live}
        segment_pk = pks.get(moved) or next(iter(pks.values()), None)
        return "" if segment_pk is None else self.override_url(segment_pk, **AS_ORDER)

    def _feature_segments(self) -> list[Any]:
        """In their order, each with ``is_live``: without a live state a feature segment has no effect yet."""
        live = FeatureState.objects.filter(feature_segment=OuterRef("pk"), version__isnull=False)
        feature_segments = FeatureSegment.objects.filter(environment=self.environment.pk, feature=self.feature.pk)
        return list(
            feature_segments.select_related("segment").annotate(is_live=Exists(live)).order_by("priority", "pk")
        )

    def _success_message(self, feature_segments: list[Any]) -> str:
        moved = self.request.POST.get("feature_segment", "")
        for each in feature_segments:
            if str(each["id"]) == moved:
                return f"{each['segment_name']} is now number {each['priority'] + 1}."
        return "The order is saved."


def _moved_by_one(form: Mapping[str, str], order: list[str], live: list[str]) -> list[str]:
    """``order`` with one feature segment moved by one position, skipping those that are not live."""
    moved, step = form.get("feature_segment", ""), -1 if form.get("move") == "up" else 1
    if moved not in live:
        raise Http404
    position = live.index(moved) + step
    if 0 <= position < len(live):
        target = order.index(live[position])
        order.remove(moved)
        order.insert(target, moved)
    return order
