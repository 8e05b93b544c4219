"""The features of a project as they are in one environment: the list, and what is done from it with one click."""

from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page as Slice
from django.core.paginator import Paginator
from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from rest_framework.exceptions import ValidationError

from dashboard.api import Answer
from dashboard.places import EnvironmentPage
from features import filters, state_summaries
from features.future.errors import ChangeRequestsEnabled
from features.models import Feature
from projects.tags.models import Tag

PAGE_SIZE = 50

NEEDS_APPROVAL = "This environment's flags are changed by change requests. Propose the change instead."

STATES = (("", "On or off"), ("true", "On"), ("false", "Off"))
ORDERS = (("name", "By name"), ("-name", "By name, backwards"), ("-created_date", "Newest first"))


class FeaturesPage(EnvironmentPage):
    """The list, with search, tags and states, 50 features at a time."""

    template = "dashboard/features/list.html"
    tab = "features"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        try:
            wanted = filters.FeatureFilterSerializer.read(self.asked())
        except ValidationError:
            # Of an address that no form of ours has made.
            raise Http404 from None
        features = filters.filter_features(self.project.features.all(), wanted, self.environment, with_relations=False)
        page = Paginator(features, PAGE_SIZE).get_page(request.GET.get("page"))
        self._read(page)
        return self.show(
            features=page,
            tags=self.tags,
            states=STATES,
            orders=ORDERS,
            search=request.GET.get("search", ""),
            state=request.GET.get("state", ""),
            order=self.order,
            archived=self.archived,
            filtered=any(request.GET.get(name) for name in ("search", "state", "tag", "archived")),
            may_toggle=self.may(self.flag_permission),
            may_create=self.may_in_project("CREATE_FEATURE"),
        )

    @property
    def flag_permission(self) -> str:
        """What a click on a switch needs."""
        return "CREATE_CHANGE_REQUEST" if self.needs_approval else "UPDATE_FEATURE_STATE"

    @property
    def order(self) -> str:
        asked = self.request.GET.get("order", "")
        return asked if asked in dict(ORDERS) else "name"

    @property
    def archived(self) -> bool:
        return self.request.GET.get("archived") == "true"

    def asked(self) -> QueryDict:
        """In the words of the API's list."""
        asked = QueryDict(mutable=True)
        asked["sort_field"], asked["sort_direction"] = self.order.removeprefix("-"), "ASC"
        if self.order.startswith("-"):
            asked["sort_direction"] = "DESC"
        asked["is_archived"] = str(self.archived).lower()
        asked["search"] = self.request.GET.get("search", "").strip()
        tags = ",".join(self.request.GET.getlist("tag"))
        if tags:
            asked["tags"] = tags
        if self.request.GET.get("state"):
            asked["is_enabled"], asked["environment"] = self.request.GET["state"], str(self.environment.pk)
        return asked

    @cached_property
    def tags(self) -> list[Tag]:
        """The project's, each with ``chosen``: whether the list is narrowed to it."""
        chosen = self.request.GET.getlist("tag")
        tags = list(self.project.tags.order_by("label"))
        for tag in tags:
            tag.chosen = str(tag.pk) in chosen  # type: ignore[attr-defined]
        return tags

    def _read(self, page: Slice[Feature]) -> None:
        """What the rows show besides the features themselves, for all of them at once."""
        features = list(page.object_list)
        page.object_list = features
        prefetch_related_objects(features, "tags")
        state_summaries.attach(features, self.environment, segment=None)
        for feature in features:
            value = (getattr(feature, "environment_state", None) or {}).get("feature_state_value")
            # As JSON and SDKs have it.
            feature.shown_value = str(value).lower() if isinstance(value, bool) else value  # type: ignore[attr-defined]


class FeaturePage(EnvironmentPage):
    """A page, or a form's target, below ``features/{feature_pk}/``."""

    tab = "features"

    @cached_property
    def feature(self) -> Feature:
        feature = self.project.features.filter(pk=self.kwargs["feature_pk"]).first()
        if feature is None:
            raise Http404
        return feature

    def context(self) -> dict[str, Any]:
        return {**super().context(), "feature": self.feature}

    @property
    def list_url(self) -> str:
        return reverse("dashboard:features", args=[self.project.pk, self.environment.api_key])

    @property
    def api_path(self) -> str:
        return f"projects/{self.project.pk}/features/{self.feature.pk}/"

    def url(self, name: str, *args: int) -> str:
        return reverse(f"dashboard:{name}", args=[self.project.pk, self.environment.api_key, self.feature.pk, *args])

    def change_flag(self, method: str, path: str, body: Any = None) -> Answer:
        """Call the Admin API to change what this environment's flags say to everybody or to segments.

        Every page that does so calls this: where flags need approval, nothing is changed. The API refuses it itself
        in one of its formats alone, as Flagsmith's does.
        """
        with self.locked_environment():
            if self.needs_approval:
                return Answer(ChangeRequestsEnabled.status_code, {"detail": NEEDS_APPROVAL})
            return self.call(method, path, body)

    def proposal_url(self, *, enabled: bool) -> str:
        """The feature's page, with a form that proposes to turn it on or off for everybody."""
        return f"{self.url('feature')}?{urlencode({'enabled': str(enabled).lower()})}"


class Toggle(FeaturePage):
    """Turn a feature on or off for everybody in this environment; where flags need approval, lead to the proposal."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        state = state_summaries.default_states(self.environment).filter(feature=self.feature.pk).first()
        if state is None:
            raise Http404
        wanted = request.POST.get("enabled") == "true"
        path = f"environments/{self.environment.api_key}/featurestates/{state.pk}/"
        answer = self.change_flag("PATCH", path, {"enabled": wanted})
        if self.needs_approval:
            return self.go(self.proposal_url(enabled=wanted), refused=answer.message, whole=True)
        return self.go(self.back(self.list_url), refused=answer.message)


class Archive(FeaturePage):
    """Put a feature away, or fetch it back. SDKs get it all the same."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        archived = request.POST.get("archived") == "true"
        answer = self.call("PATCH", self.api_path, {"is_archived": archived})
        told = f"{self.feature.name} is {'archived' if archived else 'back in the list'}." if answer.ok else ""
        return self.go(self.back(self.list_url), told, refused=answer.message)


class Delete(FeaturePage):
    """Delete a feature in all environments. GET asks, for those whose browser does not."""

    template = "dashboard/features/delete.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.show()

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = self.feature.name
        answer = self.call("DELETE", self.api_path)
        return self.go(self.list_url, f"{name} is deleted." if answer.ok else "", refused=answer.message)
