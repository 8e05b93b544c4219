"""A multivariate feature's options. They belong to the project: what is done here shows in all its environments."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from django.db.models import F, FilteredRelation, OuterRef, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.features.editors import errors_of, percent, refusal
from dashboard.features.one import OneFeaturePage
from dashboard.features.values import KINDS, Typed
from features.multivariate.models import MultivariateFeatureOption
from features.shown import default_states


@dataclass(frozen=True)
class OptionEditor:
    """The form of an option."""

    key: str
    value: Typed
    weight: str
    errors: Mapping[str, list[str]] = field(default_factory=dict)

    kinds = KINDS

    @property
    def general(self) -> list[str]:
        """What was wrong with no field of it."""
        return self.errors.get("", [])

    def sent(self, form: Mapping[str, str]) -> "OptionEditor":
        return replace(self, value=Typed.sent(form), weight=form.get("weight", "").strip())

    def body(self) -> dict[str, Any]:
        return {**self.value.columns(), "default_percentage_allocation": self.weight}


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
        problem = sent.value.problem
        answer = None if problem else self.call("POST", self.options_path, sent.body())
        if answer is not None and answer.ok:
            told = "The variation is added, in all environments."
            return self.go(self.url("feature-variations"), told)
        errors = {"value": [problem]} if answer is None else errors_of(answer)
        return self.page(answer.status if answer else 400, opened=replace(sent, errors=errors))

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
        sent = self.editor.sent(request.POST)
        body = sent.body()
        if sent.value.says_the_same(self.editor.value):
            body = {"default_percentage_allocation": sent.weight}
        problem = sent.value.problem
        answer = None if problem else self.call("PATCH", f"{self.options_path}{self.option.pk}/", body)
        if answer is not None and answer.ok:
            return self.go(self.url("feature-variations"), "The variation is saved, for all environments.")
        errors = {"value": [problem]} if answer is None else errors_of(answer)
        return self.page(answer.status if answer else 400, opened=replace(sent, errors=errors))

    @cached_property
    def option(self) -> Any:
        found = next((each for each in self.options if each.pk == self.kwargs["option_pk"]), None)
        if found is None:
            raise Http404
        return found

    @cached_property
    def editor(self) -> OptionEditor:
        return OptionEditor(f"option-{self.option.pk}", self.option.typed, self.option.default)

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
