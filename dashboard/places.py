"""Where a page is: in a project, in one of its environments, and what the user may do there.

A page's place costs the same few queries whatever the project holds, so that a page needs a dozen in all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from core.locks import lock_environment, lock_project
from core.paths import MAX_ID
from dashboard.pages import Page
from environments.access import administered_environments, visible_environments
from environments.models import Environment
from organisations.access import administered_organisations, permissions_in, visible_organisations
from organisations.models import Organisation
from projects.access import administered_projects, visible_projects
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
        administered = administered_projects(self.user).filter(pk=OuterRef("pk"))
        visible = visible_projects(self.user).select_related("organisation")
        project = visible.annotate(administered=Exists(administered)).filter(pk=self.kwargs["project_pk"]).first()
        if project is None:
            raise Http404
        return project

    @cached_property
    def is_project_admin(self) -> bool:
        return bool(self.project.administered)  # type: ignore[attr-defined]

    @cached_property
    def project_permissions(self) -> set[str]:
        return permissions_in(self.user, self.project)

    def may_in_project(self, key: str) -> bool:
        return self.is_project_admin or key in self.project_permissions

    @cached_property
    def environments(self) -> list[Environment]:
        """Those of the project that the user may see, in the order of their creation, each with ``administered``:
        whether the user is an admin of it."""
        administered = administered_environments(self.user).filter(pk=OuterRef("pk"))
        visible = visible_environments(self.user).filter(project=self.project.pk)
        return list(visible.annotate(administered=Exists(administered)))

    @cached_property
    def environment(self) -> Environment | None:
        """The one that is shown. Pages about the project as a whole keep the one that was shown last, or take the one
        of ``?env=``, the key that the environments' menu sends."""
        wanted = self.request.GET.get("env") or self.request.session.get("environment")
        first = self.environments[0] if self.environments else None
        found = next((each for each in self.environments if each.api_key == wanted), first)
        if found is not None and "env" in self.request.GET and self.request.session.get("environment") != found.api_key:
            self.request.session["environment"] = found.api_key
        return found

    @contextmanager
    def locked_project(self) -> Iterator[None]:
        """A transaction that holds the project's lock: what is read in it is still so when it is changed."""
        with transaction.atomic():
            lock_project(self.project.pk)
            yield

    @property
    def may_create_environment(self) -> bool:
        return self.may_in_project("CREATE_ENVIRONMENT")

    def elsewhere(self) -> list[tuple[Environment, str]]:
        """Each environment, and where this page is in it."""
        query = self.request.GET.copy()
        query.pop("page", None)
        links = []
        for each in self.environments:
            query["env"] = each.api_key
            links.append((each, f"{self.request.path}?{query.urlencode()}"))
        return links

    def context(self) -> dict[str, Any]:
        return {
            **super().context(),
            "project": self.project,
            "environments": self.environments,
            "environment": self.environment,
            "place": self,
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
        return bool(self.environment.administered)  # type: ignore[attr-defined]

    @cached_property
    def environment_permissions(self) -> set[str]:
        return permissions_in(self.user, self.environment)

    def may(self, key: str) -> bool:
        return self.is_environment_admin or key in self.environment_permissions

    @property
    def needs_approval(self) -> bool:
        """Whether flags change by change requests alone here: what everybody gets, and overrides of segments.

        Overrides of identities, and what a feature is in all environments, change directly, as in Flagsmith's own
        dashboard.
        """
        return self.environment.minimum_change_request_approvals is not None

    @contextmanager
    def locked_environment(self) -> Iterator[None]:
        """A transaction that holds the environment's lock, with ``needs_approval`` as it is by then."""
        with transaction.atomic():
            lock_environment(self.environment.pk)
            try:
                self.environment.refresh_from_db(fields=["minimum_change_request_approvals"])
            except Environment.DoesNotExist:
                raise Http404 from None
            yield

    def elsewhere(self) -> list[tuple[Environment, str]]:
        parts = self.request.path.strip("/").split("/")[4:]
        # A feature is in every environment, with its own pages. What else has a page is of one environment alone.
        kept = 1 if parts[0] != "features" else len(parts) if len(parts) <= 3 else 2
        below = "/".join(parts[:kept]) + "/"
        if self.request.GET.keys() == {"search"}:
            below += f"?{self.request.GET.urlencode()}"
        beginning = f"/projects/{self.project.pk}/environments/"
        return [(each, f"{beginning}{each.api_key}/{below}") for each in self.environments]

    @property
    def version(self) -> str:
        """What the page shows is at least as new as this: seconds since the epoch, as events have it."""
        return epoch_seconds(self.environment.updated_at)


class OrganisationPage(Page):
    """A page below ``organisations/{organisation_pk}/``. ``?project=`` narrows it to a project, whose tabs it keeps."""

    tab = ""

    def answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        _ = self.organisation, self.place
        return super().answer(request, *args, **kwargs)

    @cached_property
    def organisation(self) -> Organisation:
        """With ``administered``: whether the user is an admin of it. What they do not belong to is 404."""
        administered = administered_organisations(self.user).filter(pk=OuterRef("pk"))
        visible = visible_organisations(self.user).annotate(administered=Exists(administered))
        organisation = visible.filter(pk=self.kwargs["organisation_pk"]).first()
        if organisation is None:
            raise Http404
        return organisation

    @cached_property
    def is_organisation_admin(self) -> bool:
        return bool(self.organisation.administered)  # type: ignore[attr-defined]

    @cached_property
    def place(self) -> ProjectPage | None:
        """The project's page that this one stands beside; None for the organisation as a whole."""
        wanted = self.request.GET.get("project", "")
        if not wanted:
            return None
        # Python reads no number of thousands of digits.
        if not wanted.isdecimal() or len(wanted) > 100 or int(wanted) > MAX_ID:
            raise Http404
        place = ProjectPage()
        place.setup(self.request, project_pk=int(wanted))
        if place.project.organisation_id != self.organisation.pk:
            raise Http404
        return place

    def context(self) -> dict[str, Any]:
        around = {} if self.place is None else self.place.context()
        return {**around, **super().context(), "organisation": self.organisation}
