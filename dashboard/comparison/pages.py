"""Two environments side by side: defaults and segment overrides, and the copy of a flag to the other environment."""

from functools import cached_property

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.features.flag_copies import FlagCopy, copy_flag, differing_features, read_flags
from dashboard.features.state_changes import StateChange, change_states
from dashboard.scoped_pages import ProjectPage
from environments.access import has_environment_permission
from environments.models import Environment
from features.models import Feature

PAGE_SIZE = 20


class ComparisonPage(ProjectPage):
    """The features whose defaults or overrides differ in two environments, or all (``?show=all``)."""

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
            found = found.filter(pk__in=differing_features(first, second))
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

    def _attach(self, features: list[Feature], first: Environment, second: Environment) -> None:
        flags = read_flags((first, second), [feature.pk for feature in features])
        for feature in features:
            one, other = (flags[each.pk].get(feature.pk, FlagCopy()) for each in (first, second))
            feature.first, feature.second = one, other  # type: ignore[attr-defined]
            feature.differs = one.comparable != other.comparable  # type: ignore[attr-defined]
            # Only the overrides differ: then the form's box is checked.
            feature.is_default_equal = one.default_comparable == other.default_comparable  # type: ignore[attr-defined]
            feature.has_overrides = bool(one.overrides or other.overrides)  # type: ignore[attr-defined]


class CopyFlag(ComparisonPage):
    """Copy a feature's default from one environment to another: state, value and percentages of variations.

    With ``overrides``, the feature also gets the segment overrides of the other environment, in their order.
    """

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        by_key = {each.api_key: each for each in self.environments}
        source, target = (by_key.get(request.POST.get(name, "")) for name in ("from", "to"))
        feature = self.project.features.filter(pk=self.kwargs["feature_pk"]).first()
        if source is None or target is None or feature is None:
            raise Http404
        flag = read_flags([source], [feature.pk], to_write=True)[source.pk].get(feature.pk)
        if flag is None or flag.default is None:
            raise Http404
        title = f"{feature.name} in {target.name} as in {source.name}"
        if "overrides" in request.POST:
            outcome = copy_flag(self, target, feature, flag, title)
        else:
            state = flag.default
            change = StateChange(feature.pk, state.enabled, state.value, state.weights)
            outcome = change_states(self, target, [change], title)
        back = self.back(reverse("dashboard:comparison", args=[self.project.pk]))
        return outcome.redirect(self, back, f"{feature.name} is in {target.name} as in {source.name}.")
