"""Segment overrides of a feature: add, change, toggle, reorder, remove."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.api import APIResponse
from dashboard.edits import CONFLICT, Edit, describe_field
from dashboard.features.editors import Editor, editor_of, error_text, form_errors, read_weights
from dashboard.features.proposals import PROPOSED, ProposalForm
from dashboard.features.tab import FeatureTab
from dashboard.features.value_tab import Row, ValueTab
from dashboard.features.views import NEEDS_APPROVAL
from features.feature_segments.services import live_feature_segments, next_priority
from features.models import FeatureSegment, FeatureState
from segments.models import Segment


class OverrideForm(ValueTab):
    """The form of a segment override, opened in the list."""

    editor_name = "opened"

    @property
    def stored_editor(self) -> Editor:
        return self.editor

    def save(self, submitted: Editor) -> APIResponse:
        part = {"segment": {"id": self.override.segment.pk}, **submitted.flag_patch(self.editor)}
        return self.change_flag("PATCH", self.flag_api_path, {"segment_overrides": [part]})

    def saved_message(self, submitted: Editor) -> str:
        return "The override is saved."

    def propose_change(self, submitted: Editor, *, commit: bool) -> APIResponse:
        part = {"feature_segment": self.override.feature_segment_id, **submitted.change_request_patch(self.editor)}
        return self.propose(submitted, part, title_suffix=f" for {self.override.segment.name}", commit=commit)

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
        return {**super().tab_context(), "opened_segment": self.override.segment.pk}


class NewOverrideForm(OverrideForm):
    """The form of a new override. It starts with the environment default."""

    def save(self, submitted: Editor) -> APIResponse:
        # The API call would change an override that another user has created meanwhile.
        if self.may_override and any(str(each.segment.pk) == submitted.chosen for each in self.overrides):
            return APIResponse(409, {"segment": ["This segment overrides the feature already."]})
        part = {"segment": {"id": submitted.chosen}, **submitted.flag_patch(self.editor)}
        part["priority"] = next_priority(self.environment.pk, self.feature.pk)
        return self.change_flag("PATCH", self.flag_api_path, {"segment_overrides": [part]})

    def saved_message(self, submitted: Editor) -> str:
        return "The override is added, as the last one."

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
        return live_feature_segments(self.environment.pk, self.feature.pk).filter(segment__pk=segment_pk).exists()


class RemoveOverride(SegmentOverridePage):
    """Remove an override. GET shows a confirmation page for browsers without JavaScript.

    If flags need approval, the page has the form of a change request that removes it.
    """

    template = "dashboard/features/feature_removal.html"

    def get(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        return self._render_form(ProposalForm("removal"), proposing=self.needs_approval)

    def _render_form(self, proposal: ProposalForm, status: int = 200, *, proposing: bool = True) -> HttpResponse:
        name = self.segment.name
        question = "Propose to remove" if proposing else "Remove"
        return self.render(
            status,
            question=f"{question} the override for {name}?",
            effect=f"Members of the segment get what everybody gets of {self.feature.name}.",
            action="Remove override",
            allowed=self.may_override,
            back=self.url("feature"),
            proposing=proposing,
            proposal=proposal,
        )

    @cached_property
    def segment(self) -> Segment:
        segment = self.project.segments.filter(pk=self.kwargs["segment_pk"]).first()
        if segment is None:
            raise Http404
        return segment

    def post(self, request: HttpRequest, segment_pk: int, **kwargs: str) -> HttpResponse:
        if request.POST.get("action") == "propose":
            form = ProposalForm("removal").with_input(request.POST)
            suffix = f": override for {self.segment.name} removed"
            response = self.propose_overrides(form, title_suffix=suffix, segment_ids_to_delete_overrides=[segment_pk])
            if not response.ok:
                return self._render_form(replace(form, errors=form_errors(response)), response.status)
            return self.redirect(self.request_url(response.data["id"]), PROPOSED)
        response = self.change_flag("DELETE", f"{self.flag_api_path}segment-overrides/{segment_pk}/")
        if self.needs_approval:
            return self.redirect(self.url("override-delete", segment_pk), error=response.message, full_load=True)
        message = "The override is removed." if response.ok else ""
        return self.redirect(self.url("feature"), message, error=error_text(response))


class OrderOverrides(SegmentOverridePage):
    """Reorder the overrides: all of them after dragging, or one of them by one position.

    If flags need approval, GET has a form with the places, which proposes the order by a change request.
    """

    template = "dashboard/features/feature_order.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if not self.needs_approval:
            return self.redirect(self.url("feature"))
        return self._render_form(ProposalForm("order"), self._wanted(request.GET.get("order", "").split(",")))

    def _wanted(self, segments: list[str]) -> list[FeatureSegment]:
        """The live overrides in the order of these segments; others follow in their order."""
        places = {segment: place for place, segment in enumerate(segments)}
        return sorted(self._live, key=lambda each: places.get(str(each.segment_id), len(places)))

    def _render_form(self, proposal: ProposalForm, overrides: list[FeatureSegment], status: int = 200) -> HttpResponse:
        return self.render(status, overrides=overrides, proposing=True, proposal=proposal, back=self.url("feature"))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if request.POST.get("action") == "propose":
            return self._propose()
        with self.locked_environment():
            response = self._order(request.POST)
        if self.needs_approval:
            return self.redirect(self._proposal_url(request.POST), error=response.message, full_load=True)
        return self.redirect(
            self.url("feature"), self._success_message(response.data) if response.ok else "", error=error_text(response)
        )

    def _propose(self) -> HttpResponse:
        form = ProposalForm("order").with_input(self.request.POST)
        # The typed places; equal and missing ones keep the present order.
        places = {each.pk: _place(self.request.POST.get(f"place-{each.segment_id}", "")) for each in self._live}
        overrides = sorted(self._live, key=lambda each: places[each.pk])
        order = [
            {"feature_segment": {"segment": each.segment_id, "priority": place}} for place, each in enumerate(overrides)
        ]
        response = self.propose_overrides(form, title_suffix=": order of overrides", feature_states_to_update=order)
        if not response.ok:
            return self._render_form(replace(form, errors=form_errors(response)), overrides, response.status)
        return self.redirect(self.request_url(response.data["id"]), PROPOSED)

    def _order(self, form: Mapping[str, str]) -> APIResponse:
        """Save the submitted order. Returns a 409 if the order has changed since the form was rendered."""
        if self.needs_approval:
            return APIResponse(409, {"detail": NEEDS_APPROVAL})
        feature_segments = self._feature_segments()
        live = [str(each.pk) for each in feature_segments if each.is_live]
        if Edit(form, stored={"order": live}, typed={}).conflicting:
            names = [each.segment.name for each in feature_segments if each.is_live]
            return APIResponse(409, {"detail": f"{CONFLICT} {describe_field('The order', names)}"})
        body = [{"id": pk, "priority": priority} for priority, pk in enumerate(self._submitted_order(form))]
        return self.change_flag("POST", "features/feature-segments/update-priorities/", body)

    def _submitted_order(self, form: Mapping[str, str]) -> list[str]:
        """The feature segments' primary keys in the order that was dragged, or with one of them moved."""
        feature_segments = self._feature_segments()
        live = [str(each.pk) for each in feature_segments if each.is_live]
        dragged = form.get("order", "")
        return dragged.split(",") if dragged else _moved_by_one(form, [str(each.pk) for each in feature_segments], live)

    def _proposal_url(self, form: Mapping[str, str]) -> str:
        """URL of the form that proposes the submitted order."""
        segments = {str(each.pk): str(each.segment_id) for each in self._live}
        order = [segments[pk] for pk in self._submitted_order(form) if pk in segments]
        return f"{self.url('override-order')}?{urlencode({'order': ','.join(order)})}"

    @cached_property
    def _live(self) -> list[FeatureSegment]:
        return [each for each in self._feature_segments() if each.is_live]

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


def _place(text: str) -> int:
    """A typed place; text that is no number goes last."""
    return int(text) if text.isdecimal() and len(text) < 10 else 10**9


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
