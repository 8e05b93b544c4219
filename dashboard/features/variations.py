"""A multivariate feature's options. They belong to the project: what is done here shows in all its environments."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from django.db.models import F, FilteredRelation, OuterRef, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.edits import Edit, token
from dashboard.features.editors import errors_of, local_refusal, percent, refusal
from dashboard.features.one import OneFeaturePage
from dashboard.features.values import KINDS, Typed
from features.multivariate.models import MultivariateFeatureOption
from features.state_summaries import default_states


@dataclass(frozen=True)
class OptionEditor:
    """The form of an option."""

    key: str
    value: Typed
    weight: str
    shown: str = ""
    """The digests of the stored option (``edits.token``)."""

    conflict: str = ""
    """Why it is not saved: somebody else has changed the option since the form was shown."""

    errors: Mapping[str, list[str]] = field(default_factory=dict)

    kinds = KINDS

    @property
    def general(self) -> list[str]:
        """What was wrong with no field of it."""
        return self.errors.get("", [])

    @property
    def fields(self) -> dict[str, Any]:
        """As ``edits`` compares them."""
        return {"value": self.value.comparable, "weight": self.weight}

    def sent(self, form: Mapping[str, str]) -> "OptionEditor":
        """This form of the stored option, with what somebody has typed in one that they were shown before."""
        typed = replace(self, value=Typed.sent(form), weight=form.get("weight", "").strip())
        edit = Edit(form, stored=self.fields, typed=typed.fields)
        return replace(
            typed,
            value=self.value if "value" in edit.untouched else typed.value,
            weight=self.weight if "weight" in edit.untouched else typed.weight,
            conflict=edit.refusal(self._describe),
        )

    def _describe(self, name: str) -> str:
        if name == "value":
            return f"The value is {self.value.written} now."
        return f"The percentage in new environments is {self.weight} now."

    def body(self, before: "OptionEditor | None" = None) -> dict[str, Any]:
        """As the API takes it: what is not as before, or all of it."""
        body: dict[str, Any] = {}
        if before is None or not self.value.says_the_same(before.value):
            body |= self.value.columns()
        if before is None or self.weight != before.weight:
            body["default_percentage_allocation"] = self.weight
        return body


class VariationsView(OneFeaturePage):
    """The tab with the list."""

    template = "dashboard/features/feature_variations.html"
    section = "variations"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page()

    def page(self, status: int = 200, **changed: Any) -> HttpResponse:
        return self.show(status, **{**self.content(), **changed})

    def content(self) -> dict[str, Any]:
        left = 100 - sum(each.default_percentage_allocation for each in self.options)
        return {"options": self.options, "left": percent(left)}

    @cached_property
    def options(self) -> list[Any]:
        """With what is shown of each: ``typed``, ``default`` and ``here``, the percentages as text."""
        state = default_states(self.environment).filter(feature=OuterRef("feature")).values("pk")[:1]
        shares = "multivariate_feature_state_values"
        options = MultivariateFeatureOption.objects.filter(feature=self.feature.pk).annotate(
            share=FilteredRelation(shares, condition=Q(**{f"{shares}__feature_state": Subquery(state)})),
            weight=F("share__percentage_allocation"),
        )
        found: list[Any] = list(options)
        for each in found:
            each.typed = Typed.of(each.value)
            each.default, each.here = percent(each.default_percentage_allocation), percent(each.weight or 0)
        return found

    @property
    def options_path(self) -> str:
        return f"{self.api_path}mv-options/"


class NewVariationView(VariationsView):
    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page(opened=self.editor)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        sent = self.editor.sent(request.POST)
        answer = local_refusal("", sent.value) or self.call("POST", self.options_path, sent.body())
        if answer.ok:
            return self.go(self.url("feature-variations"), "The variation is added, in all environments.")
        return self.page(answer.status, opened=replace(sent, errors=errors_of(answer)))

    @cached_property
    def editor(self) -> OptionEditor:
        return OptionEditor("new", Typed("text", ""), "0")

    def content(self) -> dict[str, Any]:
        return {**super().content(), "adding": True}


class VariationView(VariationsView):
    """One of them, opened in the list."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page(opened=self.editor)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        with self.locked_project():
            sent = self.editor.sent(request.POST)
            answer = local_refusal(sent.conflict, sent.value) or self.call(
                "PATCH", f"{self.options_path}{self.option.pk}/", sent.body(self.editor)
            )
        if answer.ok:
            return self.go(self.url("feature-variations"), "The variation is saved, for all environments.")
        return self.page(answer.status, opened=replace(sent, errors=errors_of(answer)))

    @cached_property
    def option(self) -> Any:
        found = next((each for each in self.options if each.pk == self.kwargs["option_pk"]), None)
        if found is None:
            raise Http404
        return found

    @cached_property
    def editor(self) -> OptionEditor:
        editor = OptionEditor(f"option-{self.option.pk}", self.option.typed, self.option.default)
        return replace(editor, shown=token(editor.fields))

    def content(self) -> dict[str, Any]:
        return {**super().content(), "opened_option": self.option.pk}


class RemoveVariation(VariationsView):
    """Remove an option. GET asks, for those whose browser does not."""

    template = "dashboard/features/feature_removal.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        option = next((each for each in self.options if each.pk == self.kwargs["option_pk"]), None)
        if option is None:
            raise Http404
        return self.show(
            question=f"Remove the variation “{option.typed.text[:60]}”?",
            effect="It goes from all environments. Who got it gets the feature's own value, or another variation.",
            action="Remove variation",
            allowed=self.may_change_feature,
            back=self.url("feature-variations"),
        )

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        answer = self.call("DELETE", f"{self.options_path}{self.kwargs['option_pk']}/")
        told = "The variation is removed from all environments." if answer.ok else ""
        return self.go(self.url("feature-variations"), told, refused=refusal(answer))
