"""Endpoints of Flagsmith's feature versioning v2, which is not available: they respond with 404 and the reason.

With a 404, clients continue with feature states, as in an environment that does not use feature versioning.
"""

from typing import Any, NoReturn

from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from core import paths
from environments.access import visible_environments
from environments.models import Environment
from environments.scope import EnvironmentScopedView

NO_VERSIONS = "Feature versioning v2 is not available here."


class UnavailableView(EnvironmentScopedView):
    """The base of the views. Callers who may not see the environment get a 404 for the environment."""

    def not_available(self, request: Request, **kwargs: Any) -> NoReturn:
        assert self.environment
        raise NotFound(NO_VERSIONS)


@extend_schema(exclude=True)
class SwitchView(UnavailableView):
    """``environments/{key}/enable-v2-versioning/`` and ``disable-v2-versioning/``."""

    rules = "environments/v2-versioning"
    post = UnavailableView.not_available


class FeatureVersionsView(UnavailableView):
    """The base of views below ``environments/{id}/features/{feature}/versions/``. ``{id}`` is the primary key."""

    rules = "environments/feature-versions"

    def find_environment(self) -> Environment | None:
        environments = visible_environments(self.actor).select_related("project")
        return environments.filter(pk=self.kwargs["environment_pk"]).first()


@extend_schema(exclude=True)
class VersionsView(FeatureVersionsView):
    get = post = UnavailableView.not_available


@extend_schema(exclude=True)
class VersionView(FeatureVersionsView):
    get = delete = UnavailableView.not_available


@extend_schema(exclude=True)
class PublishView(FeatureVersionsView):
    post = UnavailableView.not_available


@extend_schema(exclude=True)
class VersionStateView(FeatureVersionsView):
    put = patch = delete = UnavailableView.not_available


@extend_schema(exclude=True)
class VersionByUUIDView(EnvironmentScopedView):
    """``environment-feature-versions/{uuid}/``. It names no environment, so all signed-in callers get the reason."""

    rules = "feature-versions/get-by-uuid"

    def get(self, request: Request, uuid: str) -> NoReturn:
        raise NotFound(NO_VERSIONS)


ENVIRONMENT = rf"^environments/(?P<environment_api_key>{paths.ENVIRONMENT_KEY})/"
VERSIONS = rf"^environments/(?P<environment_pk>{paths.ID})/features/(?P<feature_pk>{paths.ID})/versions/"
VERSION = rf"{VERSIONS}(?P<uuid>{paths.UUID})/"

urlpatterns = [
    re_path(rf"{ENVIRONMENT}enable-v2-versioning/$", SwitchView.as_view()),
    re_path(rf"{ENVIRONMENT}disable-v2-versioning/$", SwitchView.as_view()),
    re_path(rf"{VERSIONS}$", VersionsView.as_view()),
    re_path(rf"{VERSION}$", VersionView.as_view()),
    re_path(rf"{VERSION}publish/$", PublishView.as_view()),
    re_path(rf"{VERSION}featurestates/$", VersionsView.as_view()),
    re_path(rf"{VERSION}featurestates/(?P<pk>{paths.ID})/$", VersionStateView.as_view()),
    re_path(rf"^environment-feature-versions/(?P<uuid>{paths.UUID})/$", VersionByUUIDView.as_view()),
]
