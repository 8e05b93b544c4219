"""The features of a project as they are in one environment."""

from django.core.paginator import Page as Slice
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from core.representation import read_many_to_many
from dashboard.places import EnvironmentPage
from features import filters, shown
from features.models import Feature

PAGE_SIZE = 50


class FeaturesPage(EnvironmentPage):
    """The list, with search, tags and states, a page of 50 at a time."""

    template = "dashboard/features/list.html"
    tab = "features"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        wanted = filters.FeatureFilterSerializer.read(self.asked())
        features = filters.listed(self.project.features.all(), wanted, self.environment, to_change=False)
        page = Paginator(features, PAGE_SIZE).get_page(request.GET.get("page"))
        self._read(page)
        return self.show(
            features=page, may_toggle=self.may("UPDATE_FEATURE_STATE"), search=request.GET.get("search", "")
        )

    def asked(self) -> QueryDict:
        asked = QueryDict("sort_field=name", mutable=True)
        asked["search"] = self.request.GET.get("search", "")
        return asked

    def _read(self, page: Slice[Feature]) -> None:
        features = list(page.object_list)
        page.object_list = features
        read_many_to_many(features, ("tags",), among=self.project.features.all())
        shown.show(features, self.environment, segment=None)


class Toggle(EnvironmentPage):
    """Turn a feature on or off for everybody in this environment."""

    def post(self, request: HttpRequest, feature_pk: int, **kwargs: str) -> HttpResponse:
        state = shown.default_states(self.environment).filter(feature=feature_pk).first()
        if state is None:
            raise Http404
        enabled = request.POST.get("enabled") == "true"
        path = f"environments/{self.environment.api_key}/featurestates/{state.pk}/"
        answer = self.call("PATCH", path, {"enabled": enabled})
        back = request.POST.get("back") or reverse(
            "dashboard:features", args=[self.project.pk, self.environment.api_key]
        )
        return self.go(back, refused=answer.message)
