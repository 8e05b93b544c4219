"""The tab "Variations" of a feature: its multivariate options, which are the same in all environments."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from django.db.models import F, FilteredRelation, OuterRef, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.edits import Edit, Field, describe_field, encoded_digests
from dashboard.features.editors import error_text, form_errors, local_error, percent
from dashboard.features.tab import FeatureTab
from dashboard.features.values import KINDS, FormValue
from features.multivariate.models import MultivariateFeatureOption
from features.state_summaries import default_states


@dataclass(frozen=True)
class OptionEditor:
    """The form of a multivariate option."""

    key: str
    value: FormValue
    weight: str
    digests: str = ""
    """The digests of the stored option (``edits.encoded_digests``)."""

    conflict: str = ""
    """The message if the user goes on editing after a conflict."""

    errors: Mapping[str, list[str]] = field(default_factory=dict)

    kinds = KINDS

    @property
    def non_field_errors(self) -> list[str]:
        return self.errors.get("", [])

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that ``edits.Edit`` compares."""
        return {"value": self.value.comparable, "weight": self.weight}

    def with_input(self, form: Mapping[str, str]) -> "OptionEditor":
        """This form with the submitted values. Fields that the user left untouched keep the stored value."""
        typed = replace(self, value=FormValue.from_form(form), weight=form.get("weight", "").strip())
        edit = Edit(form, stored=self.fields, typed=typed.fields)
        return replace(
            typed,
            value=self.value if "value" in edit.untouched else typed.value,
            weight=self.weight if "weight" in edit.untouched else typed.weight,
            conflict=edit.conflict_message(self._describe),
        )

    def _describe(self, name: str) -> Field:
        if name == "value":
            return self.value.field
        return describe_field("The percentage in new environments", self.weight, str)

    def body(self, stored: "OptionEditor | None" = None) -> dict[str, Any]:
        """The fields that differ from ``stored``, or all fields, in the API's format."""
        body: dict[str, Any] = {}
        if stored is None or not self.value.equals(stored.value):
            body |= self.value.as_columns()
        if stored is None or self.weight != stored.weight:
            body["default_percentage_allocation"] = self.weight
        return body


class VariationsTab(FeatureTab):
    """The tab with the list of options."""

    template = "dashboard/features/feature_variations.html"
    section = "variations"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_list()

    def render_list(self, status: int = 200, **changed: Any) -> HttpResponse:
        return self.render(status, **{**self.tab_context(), **changed})

    def tab_context(self) -> dict[str, Any]:
        remaining = 100 - sum(each.default_percentage_allocation for each in self.options)
        return {"options": self.options, "remaining": percent(remaining)}

    @cached_property
    def options(self) -> list[Any]:
        """Each with ``form_value``, and as text ``default_share``, and ``share`` in this environment."""
        state = default_states(self.environment).filter(feature=OuterRef("feature")).values("pk")[:1]
        shares = "multivariate_feature_state_values"
        options = MultivariateFeatureOption.objects.filter(feature=self.feature.pk).annotate(
            share_in_state=FilteredRelation(shares, condition=Q(**{f"{shares}__feature_state": Subquery(state)})),
            weight=F("share_in_state__percentage_allocation"),
        )
        found: list[Any] = list(options)
        for each in found:
            each.form_value = FormValue.from_stored(each.value)
            each.default_share, each.share = percent(each.default_percentage_allocation), percent(each.weight or 0)
        return found

    @property
    def options_path(self) -> str:
        return f"{self.api_path}mv-options/"


class NewVariationForm(VariationsTab):
    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_list(opened=self.editor)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        submitted = self.editor.with_input(request.POST)
        response = local_error("", submitted.value) or self.call("POST", self.options_path, submitted.body())
        if response.ok:
            return self.redirect(self.url("feature-variations"), "The variation is added, in all environments.")
        return self.render_list(response.status, opened=replace(submitted, errors=form_errors(response)))

    @cached_property
    def editor(self) -> OptionEditor:
        return OptionEditor("new", FormValue("text", ""), "0")

    def tab_context(self) -> dict[str, Any]:
        return {**super().tab_context(), "adding": True}


class VariationForm(VariationsTab):
    """The form of an option, opened in the list."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_list(opened=self.editor)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        with self.locked_project():
            submitted = self.editor.with_input(request.POST)
            response = local_error(submitted.conflict, submitted.value) or self.call(
                "PATCH", f"{self.options_path}{self.option.pk}/", submitted.body(self.editor)
            )
        if response.ok:
            return self.redirect(self.url("feature-variations"), "The variation is saved, for all environments.")
        return self.render_list(response.status, opened=replace(submitted, errors=form_errors(response)))

    @cached_property
    def option(self) -> Any:
        found = next((each for each in self.options if each.pk == self.kwargs["option_pk"]), None)
        if found is None:
            raise Http404
        return found

    @cached_property
    def editor(self) -> OptionEditor:
        editor = OptionEditor(f"option-{self.option.pk}", self.option.form_value, self.option.default_share)
        return replace(editor, digests=encoded_digests(editor.fields))

    def tab_context(self) -> dict[str, Any]:
        return {**super().tab_context(), "opened_option": self.option.pk}


class RemoveVariation(VariationsTab):
    """Remove an option. GET shows a confirmation page for browsers without JavaScript."""

    template = "dashboard/features/feature_removal.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        option = next((each for each in self.options if each.pk == self.kwargs["option_pk"]), None)
        if option is None:
            raise Http404
        return self.render(
            question=f"Remove the variation “{option.form_value.text[:60]}”?",
            effect="It goes from all environments. Who got it gets the feature's own value, or another variation.",
            action="Remove variation",
            allowed=self.may_change_feature,
            back=self.url("feature-variations"),
        )

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        response = self.call("DELETE", f"{self.options_path}{self.kwargs['option_pk']}/")
        message = "The variation is removed from all environments." if response.ok else ""
        return self.redirect(self.url("feature-variations"), message, error=error_text(response))
