"""The list of features in one environment, the one-click actions on it, and the base class of a feature's pages."""

from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page as Slice
from django.core.paginator import Paginator
from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from rest_framework.exceptions import ValidationError

from dashboard.api import APIResponse
from dashboard.scoped_pages import EnvironmentPage
from features import filters, state_summaries
from features.environment_flags.errors import ChangeRequestsEnabled
from features.models import Feature
from projects.tags.models import Tag

PAGE_SIZE = 50

NEEDS_APPROVAL = "This environment's flags are changed by change requests. Propose the change instead."

STATES = (("", "On or off"), ("true", "On"), ("false", "Off"))
ORDERS = (("name", "By name"), ("-name", "By name, backwards"), ("-created_date", "Newest first"))


class FeaturesPage(EnvironmentPage):
    """The list of features, with search, filters and pagination."""

    template = "dashboard/features/list.html"
    tab = "features"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        try:
            query = filters.FeatureFilterSerializer.read(self.api_query())
        except ValidationError:
            # The page's own form sends no invalid filter.
            raise Http404 from None
        features = filters.filter_features(self.project.features.all(), query, self.environment, with_relations=False)
        page = Paginator(features, PAGE_SIZE).get_page(request.GET.get("page"))
        self._annotate(page)
        return self.render(
            features=page,
            tags=self.tags,
            states=STATES,
            orders=ORDERS,
            search=request.GET.get("search", ""),
            state=request.GET.get("state", ""),
            order=self.order,
            archived=self.archived,
            filtered=any(request.GET.get(name) for name in ("search", "state", "tag", "archived")),
            may_toggle=(may_toggle := self.has_environment_permission(self.flag_permission)),
            may_create=(may_create := self.has_project_permission("CREATE_FEATURE")),
            may_choose=may_toggle or may_create,
        )

    @property
    def list_url(self) -> str:
        return reverse("dashboard:features", args=[self.project.pk, self.environment.api_key])

    @property
    def flag_permission(self) -> str:
        """The permission needed to use a switch."""
        return "CREATE_CHANGE_REQUEST" if self.needs_approval else "UPDATE_FEATURE_STATE"

    @property
    def order(self) -> str:
        order = self.request.GET.get("order", "")
        return order if order in dict(ORDERS) else "name"

    @property
    def archived(self) -> bool:
        return self.request.GET.get("archived") == "true"

    def api_query(self) -> QueryDict:
        """The page's filters as query parameters of the API's list."""
        query = QueryDict(mutable=True)
        query["sort_field"], query["sort_direction"] = self.order.removeprefix("-"), "ASC"
        if self.order.startswith("-"):
            query["sort_direction"] = "DESC"
        query["is_archived"] = str(self.archived).lower()
        query["search"] = self.request.GET.get("search", "").strip()
        tags = ",".join(self.request.GET.getlist("tag"))
        if tags:
            query["tags"] = tags
        if self.request.GET.get("state"):
            query["is_enabled"], query["environment"] = self.request.GET["state"], str(self.environment.pk)
        return query

    @cached_property
    def tags(self) -> list[Tag]:
        """The project's tags, each with ``chosen``: whether the list is filtered by it."""
        chosen = self.request.GET.getlist("tag")
        tags = list(self.project.tags.order_by("label"))
        for tag in tags:
            tag.chosen = str(tag.pk) in chosen  # type: ignore[attr-defined]
        return tags

    def _annotate(self, page: Slice[Feature]) -> None:
        """Read the tags, states and overrides of all features of the page."""
        features = list(page.object_list)
        page.object_list = features
        prefetch_related_objects(features, "tags")
        state_summaries.attach(features, self.environment, segment=None)
        for feature in features:
            value = (getattr(feature, "environment_state", None) or {}).get("feature_state_value")
            # Booleans as in JSON.
            feature.shown_value = str(value).lower() if isinstance(value, bool) else value  # type: ignore[attr-defined]


class FeaturePage(EnvironmentPage):
    """A view below ``features/{feature_pk}/``."""

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

    def change_flag(self, method: str, path: str, body: Any = None) -> APIResponse:
        """Call the Admin API to change an environment default or a segment override.

        Returns an error if flags need approval. All pages use this method, since the API checks that, like Flagsmith,
        only below ``/api/__future__/``.
        """
        with self.locked_environment():
            if self.needs_approval:
                return APIResponse(ChangeRequestsEnabled.status_code, {"detail": NEEDS_APPROVAL})
            return self.call(method, path, body)

    def proposal_url(self, *, enabled: bool) -> str:
        """URL of the form that proposes to turn the environment default on or off."""
        return f"{self.url('feature')}?{urlencode({'enabled': str(enabled).lower()})}"


class Toggle(FeaturePage):
    """Turn the environment default on or off. If flags need approval, redirect to the form that proposes it."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        state = state_summaries.default_states(self.environment).filter(feature=self.feature.pk).first()
        if state is None:
            raise Http404
        enabled = request.POST.get("enabled") == "true"
        path = f"environments/{self.environment.api_key}/featurestates/{state.pk}/"
        response = self.change_flag("PATCH", path, {"enabled": enabled})
        if self.needs_approval:
            return self.redirect(self.proposal_url(enabled=enabled), error=response.message, full_load=True)
        return self.redirect(self.back(self.list_url), error=response.message)


class Archive(FeaturePage):
    """Archive or restore a feature. SDKs receive archived features too."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        archived = request.POST.get("archived") == "true"
        response = self.call("PATCH", self.api_path, {"is_archived": archived})
        message = f"{self.feature.name} is {'archived' if archived else 'back in the list'}."
        return self.redirect_after(response, self.back(self.list_url), message)


class Delete(FeaturePage):
    """Delete a feature in all environments. GET shows a confirmation page for browsers without JavaScript."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        effect = (
            "It goes from all environments, with its overrides. Applications that ask for it get their own default."
        )
        question = f"Delete {self.feature.name}?"
        return self.confirm(question, f"{effect} This cannot be undone.", "Delete the feature", self.list_url)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = self.feature.name
        response = self.call("DELETE", self.api_path)
        return self.redirect_after(response, self.list_url, f"{name} is deleted.")
