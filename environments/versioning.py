"""Flagsmith's feature versioning v2, which there is not here: its end points answer 404, and say why.

A 404 and not, say, a 405: clients that find none of it go on with feature states, as in an environment without it.
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


class NoVersions(EnvironmentScopedView):
    """Tells whoever may see the environment; to others that one does not exist."""

    def refuse(self, request: Request, **kwargs: Any) -> NoReturn:
        assert self.environment
        raise NotFound(NO_VERSIONS)


@extend_schema(exclude=True)
class SwitchView(NoVersions):
    """``environments/{key}/enable-v2-versioning/`` and ``disable-v2-versioning/``."""

    rules = "environments/v2-versioning"
    post = NoVersions.refuse


class VersionsOfFeature(NoVersions):
    """Below ``environments/{id}/features/{feature}/versions/``, where environments go by their numbers."""

    rules = "environments/feature-versions"

    def find_environment(self) -> Environment | None:
        environments = visible_environments(self.actor).select_related("project")
        return environments.filter(pk=self.kwargs["environment_pk"]).first()


@extend_schema(exclude=True)
class VersionsView(VersionsOfFeature):
    get = post = NoVersions.refuse


@extend_schema(exclude=True)
class VersionView(VersionsOfFeature):
    get = delete = NoVersions.refuse


@extend_schema(exclude=True)
class PublishView(VersionsOfFeature):
    post = NoVersions.refuse


@extend_schema(exclude=True)
class VersionStateView(VersionsOfFeature):
    put = patch = delete = NoVersions.refuse


@extend_schema(exclude=True)
class VersionByUUIDView(EnvironmentScopedView):
    """``environment-feature-versions/{uuid}/``. It names no environment, so whoever is signed in is told."""

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
