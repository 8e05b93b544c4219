"""Base classes of pages about a project, an environment or an organisation: they resolve the object of the URL and the
user's permissions in it.

That takes a constant number of queries, so that a page needs a dozen in all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from core.locks import lock_environment, lock_project
from core.paths import MAX_ID
from dashboard.pages import Page
from diagnosis import reasons
from environments.access import administered_environments, visible_environments
from environments.models import Environment
from organisations.access import administered_organisations, permissions_in, visible_organisations
from organisations.models import Organisation
from projects.access import administered_projects, visible_projects
from projects.models import Project
from realtime.types import epoch_seconds


class ProjectPage(Page):
    """A page below ``projects/{project_pk}/``. 404 if the user may not see the project."""

    tab = ""
    """The entry of the navigation that is marked as current."""

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.load()
        return super().handle(request, *args, **kwargs)

    def load(self) -> None:
        """Load the objects of the URL. Raises Http404."""
        _ = self.project

    @cached_property
    def project(self) -> Project:
        """With its organisation, and ``administered``: whether the user is the project's admin."""
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

    def has_project_permission(self, permission: str) -> bool:
        return self.is_project_admin or permission in self.project_permissions

    @cached_property
    def environments(self) -> list[Environment]:
        """The project's environments that the user may see, in the order of their creation, each with ``administered``:
        whether the user is its admin."""
        return list(self.visible_environments())

    def visible_environments(self) -> QuerySet[Environment]:
        administered = administered_environments(self.user).filter(pk=OuterRef("pk"))
        visible = visible_environments(self.user).filter(project=self.project.pk)
        return visible.annotate(administered=Exists(administered))

    @cached_property
    def environment(self) -> Environment | None:
        """The selected environment. On pages about the whole project that is the one of ``?env=`` (sent by the
        environment menu), else the one that was shown last, else the first."""
        key = self.request.GET.get("env") or self.request.session.get("environment")
        first = self.environments[0] if self.environments else None
        found = next((each for each in self.environments if each.api_key == key), first)
        if found is not None and "env" in self.request.GET and self.request.session.get("environment") != found.api_key:
            self.request.session["environment"] = found.api_key
        return found

    @property
    def gate_closed_reason(self) -> str:
        """The reason why no environment of the project sends events; "" if they are sent."""
        return reasons.gate_closed_reason(self.project)

    @contextmanager
    def locked_project(self) -> Iterator[None]:
        """A transaction that holds the project's lock, so that values read in it are still current when it writes."""
        with transaction.atomic():
            lock_project(self.project.pk)
            yield

    @property
    def may_create_environment(self) -> bool:
        return self.has_project_permission("CREATE_ENVIRONMENT")

    def environment_links(self) -> list[tuple[Environment, str]]:
        """Each environment with this page's URL in it."""
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
            "project_page": self,
        }


class EnvironmentPage(ProjectPage):
    """A page below ``projects/{project_pk}/environments/{environment_api_key}/``."""

    environment: Environment

    is_remembered = True
    """Whether pages about the whole project show this environment afterwards."""

    def load(self) -> None:
        super().load()
        key = self.kwargs["environment_api_key"]
        found = next((each for each in self.environments if each.api_key == key), None)
        if found is None:
            raise Http404
        found.project = self.project
        self.environment = found
        if self.is_remembered and self.request.session.get("environment") != key:
            self.request.session["environment"] = key

    @cached_property
    def is_environment_admin(self) -> bool:
        return bool(self.environment.administered)  # type: ignore[attr-defined]

    @cached_property
    def environment_permissions(self) -> set[str]:
        return permissions_in(self.user, self.environment)

    def has_environment_permission(self, permission: str) -> bool:
        return self.is_environment_admin or permission in self.environment_permissions

    @property
    def needs_approval(self) -> bool:
        """Whether environment defaults and segment overrides are changed only by change requests here.

        Identity overrides, and a feature's properties in all environments, are changed directly, as in Flagsmith's
        dashboard.
        """
        return self.environment.minimum_change_request_approvals is not None

    @contextmanager
    def locked_environment(self) -> Iterator[None]:
        """A transaction that holds the environment's lock. ``needs_approval`` is read again under the lock."""
        with transaction.atomic():
            lock_environment(self.environment.pk)
            refresh_approvals(self.environment)
            yield

    def environment_links(self) -> list[tuple[Environment, str]]:
        parts = self.request.path.strip("/").split("/")[4:]
        # A feature exists in every environment. Other objects exist in one: there the link leads to their list.
        kept = 1 if parts[0] != "features" else len(parts) if len(parts) <= 3 else 2
        path = "/".join(parts[:kept]) + "/"
        if self.request.GET.keys() == {"search"}:
            path += f"?{self.request.GET.urlencode()}"
        prefix = f"/projects/{self.project.pk}/environments/"
        return [(each, f"{prefix}{each.api_key}/{path}") for each in self.environments]

    def request_url(self, request_id: int) -> str:
        """The URL of one of the environment's change requests."""
        return change_request_url(self.environment, request_id)

    @property
    def version(self) -> str:
        """The environment's version when the page was rendered, in the format of events: seconds since the epoch."""
        return epoch_seconds(self.environment.updated_at)


class OrganisationPage(Page):
    """A page below ``organisations/{organisation_pk}/``. ``?project=`` limits it to a project and shows its tabs."""

    tab = ""

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        _ = self.organisation, self.project_page
        return super().handle(request, *args, **kwargs)

    @cached_property
    def organisation(self) -> Organisation:
        """With ``administered``: whether the user is its admin. 404 if the user is no member."""
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
    def project_page(self) -> ProjectPage | None:
        """The page object of the project in ``?project=``; None for the whole organisation."""
        value = self.request.GET.get("project", "")
        if not value:
            return None
        # int() raises ValueError for more than 4,300 digits.
        if not value.isdecimal() or len(value) > 100 or int(value) > MAX_ID:
            raise Http404
        page = ProjectPage()
        page.setup(self.request, project_pk=int(value))
        if page.project.organisation_id != self.organisation.pk:
            raise Http404
        return page

    def context(self) -> dict[str, Any]:
        project_context = {} if self.project_page is None else self.project_page.context()
        return {**project_context, **super().context(), "organisation": self.organisation}


def refresh_approvals(environment: Environment) -> None:
    """Read again whether the environment's flags need approval, under its lock or its project's. Raises Http404."""
    try:
        environment.refresh_from_db(fields=["minimum_change_request_approvals"])
    except Environment.DoesNotExist:
        raise Http404 from None


def change_request_url(environment: Environment, request_id: int) -> str:
    return f"/projects/{environment.project_id}/environments/{environment.api_key}/change-requests/{request_id}/"
