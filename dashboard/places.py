"""Where a page is: in a project, in one of its environments, and what the user may do there.

A page's place costs the same few queries whatever the project holds, so that a page needs a dozen in all.
"""

from functools import cached_property
from typing import Any

from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from dashboard.pages import Page
from environments.models import Environment
from permissions import access
from projects.models import Project
from realtime.types import epoch_seconds


class ProjectPage(Page):
    """A page below ``projects/{project_pk}/``. What the user may not see is 404."""

    tab = ""
    """Which entry of the navigation it belongs to."""

    def answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.enter()
        return super().answer(request, *args, **kwargs)

    def enter(self) -> None:
        """Find the place, or raise Http404."""
        _ = self.project

    @cached_property
    def project(self) -> Project:
        """With its organisation, and ``administered``: whether the user is an admin of it."""
        administered = access.administered_projects(self.user).filter(pk=OuterRef("pk"))
        visible = access.visible_projects(self.user).select_related("organisation")
        project = visible.annotate(administered=Exists(administered)).filter(pk=self.kwargs["project_pk"]).first()
        if project is None:
            raise Http404
        return project

    @cached_property
    def is_project_admin(self) -> bool:
        return bool(self.project.administered)  # type: ignore[attr-defined]

    @cached_property
    def project_permissions(self) -> set[str]:
        return access.project_permissions(self.user, self.project)

    def may_in_project(self, key: str) -> bool:
        return self.is_project_admin or key in self.project_permissions

    @cached_property
    def environments(self) -> list[Environment]:
        """Those of the project that the user may see, in the order of their creation."""
        return list(access.visible_environments(self.user).filter(project=self.project.pk))

    @cached_property
    def environment(self) -> Environment | None:
        """The one that is shown. Pages about the project as a whole keep the one that was shown last."""
        last = self.request.session.get("environment")
        first = self.environments[0] if self.environments else None
        return next((each for each in self.environments if each.api_key == last), first)

    def context(self) -> dict[str, Any]:
        return {
            **super().context(),
            "project": self.project,
            "environments": self.environments,
            "environment": self.environment,
        }


class EnvironmentPage(ProjectPage):
    """A page below ``projects/{project_pk}/environments/{environment_api_key}/``."""

    environment: Environment

    def enter(self) -> None:
        super().enter()
        key = self.kwargs["environment_api_key"]
        found = next((each for each in self.environments if each.api_key == key), None)
        if found is None:
            raise Http404
        found.project = self.project
        self.environment = found
        if self.request.session.get("environment") != key:
            self.request.session["environment"] = key

    @cached_property
    def is_environment_admin(self) -> bool:
        return self.is_project_admin or access.is_environment_admin(self.user, self.environment)

    @cached_property
    def environment_permissions(self) -> set[str]:
        return access.environment_permissions(self.user, self.environment)

    def may(self, key: str) -> bool:
        return self.is_environment_admin or key in self.environment_permissions

    @property
    def version(self) -> str:
        """What the page shows is at least as new as this: seconds since the epoch, as events have it."""
        return epoch_seconds(self.environment.updated_at)
