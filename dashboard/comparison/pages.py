"""Two environments side by side: the defaults of features, and the copy of one to the other environment."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.features.defaults import DefaultChange, change_defaults
from dashboard.features.values import FormValue
from dashboard.scoped_pages import ProjectPage
from environments.access import has_environment_permission
from environments.models import Environment
from features.models import Feature
from features.multivariate.models import MultivariateFeatureStateValue
from features.state_summaries import VALUE_PATHS, default_states
from features.values import value_from_columns

PAGE_SIZE = 50


@dataclass(frozen=True)
class ComparedState:
    """A feature's default in one of the environments."""

    enabled: bool
    value: FormValue
    weights: dict[int, float] = field(default_factory=dict)
    """Percentages by option."""

    @property
    def comparable(self) -> tuple[Any, ...]:
        return (self.enabled, self.value.comparable, sorted(self.weights.items()))

    @property
    def split(self) -> float:
        """The percentage of identities with another value than the feature's own."""
        return sum(self.weights.values())


class ComparisonPage(ProjectPage):
    """The features whose defaults differ in two environments, or all (``?show=all``)."""

    template = "dashboard/comparison/page.html"
    tab = "features"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if len(self.environments) < 2:
            return self.render()
        first, second = self.pair
        shows_all = request.GET.get("show") == "all"
        found = self.project.features.filter(is_archived=False).order_by("name")
        found = found.filter(name__icontains=self.search) if self.search else found
        if not shows_all:
            found = found.filter(pk__in=self.differing(first, second))
        page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
        features = list(page.object_list)
        page.object_list = features
        self._attach(features, first, second)
        return self.render(
            first=first,
            second=second,
            features=page,
            search=self.search,
            shows_all=shows_all,
            may_change_first=self.may_change(first),
            may_change_second=self.may_change(second),
        )

    @cached_property
    def pair(self) -> tuple[Environment, Environment]:
        """The environments of ``?first=`` and ``?second=``, or the first two that differ."""
        by_key = {each.api_key: each for each in self.environments}
        default = self.environment or self.environments[0]
        first = by_key.get(self.request.GET.get("first", ""), default)
        other = next(each for each in self.environments if each != first)
        second = by_key.get(self.request.GET.get("second", ""), other)
        return first, second if second != first else other

    def may_change(self, environment: Environment) -> bool:
        needs_approval = environment.minimum_change_request_approvals is not None
        environment.project = self.project
        key = "CREATE_CHANGE_REQUEST" if needs_approval else "UPDATE_FEATURE_STATE"
        return has_environment_permission(self.user, environment, key)

    def differing(self, first: Environment, second: Environment) -> list[int]:
        """The features whose defaults differ."""
        ours, theirs = (states_of(each) for each in (first, second))
        return [
            pk
            for pk in ours.keys() | theirs.keys()
            if pk not in ours or pk not in theirs or ours[pk].comparable != theirs[pk].comparable
        ]

    def _attach(self, features: list[Feature], first: Environment, second: Environment) -> None:
        pks = [feature.pk for feature in features]
        ours, theirs = (states_of(each, pks) for each in (first, second))
        for feature in features:
            one, other = ours.get(feature.pk), theirs.get(feature.pk)
            feature.first, feature.second = one, other  # type: ignore[attr-defined]
            feature.differs = None in (one, other) or one.comparable != other.comparable  # type: ignore


class CopyDefault(ComparisonPage):
    """Copy a feature's default from one environment to another: state, value and percentages of variations."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        by_key = {each.api_key: each for each in self.environments}
        source, target = (by_key.get(request.POST.get(name, "")) for name in ("from", "to"))
        feature = self.project.features.filter(pk=self.kwargs["feature_pk"]).first()
        if source is None or target is None or feature is None:
            raise Http404
        state = states_of(source, [feature.pk]).get(feature.pk)
        if state is None:
            raise Http404
        change = DefaultChange(feature.pk, state.enabled, state.value, state.weights)
        title = f"{feature.name} in {target.name} as in {source.name}"
        outcome = change_defaults(self, target, [change], title)
        back = self.back(reverse("dashboard:comparison", args=[self.project.pk]))
        return outcome.redirect(self, back, f"{feature.name} is in {target.name} as in {source.name}.")


def states_of(environment: Environment, features: Collection[int] | None = None) -> dict[int, ComparedState]:
    """The defaults of these features, or of all, by feature. Two queries."""
    states = default_states(environment)
    shares: QuerySet[Any] = MultivariateFeatureStateValue.objects.filter(
        feature_state__environment=environment.pk,
        feature_state__version__isnull=False,
        feature_state__identity=None,
        feature_state__feature_segment=None,
    )
    if features is not None:
        states, shares = states.filter(feature__in=features), shares.filter(feature_state__feature__in=features)
    weights: defaultdict[int, dict[int, float]] = defaultdict(dict)
    columns = ("feature_state", "multivariate_feature_option", "percentage_allocation")
    for state, option, percentage in shares.order_by().values_list(*columns):
        weights[state][option] = percentage
    return {
        feature: ComparedState(enabled, FormValue.from_stored(value_from_columns(*value)), weights.get(pk, {}))
        for feature, pk, enabled, *value in states.order_by().values_list("feature", "pk", "enabled", *VALUE_PATHS)
    }
