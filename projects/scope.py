"""The base view for objects below a project."""

from functools import cached_property

from core.locks import lock_project
from organisations.models import Organisation
from organisations.scope import OrganisationScopedView, require
from projects.access import visible_projects
from projects.models import Project


class ProjectScopedView(OrganisationScopedView):
    """The base of views below ``projects/{project_pk}/``."""

    def find_organisation(self) -> Organisation | None:
        return super().find_organisation() if "organisation_pk" in self.kwargs else self.project.organisation

    def find_project(self) -> Project | None:
        return visible_projects(self.actor).filter(pk=self.kwargs["project_pk"]).first()

    @cached_property
    def project(self) -> Project:
        return require(self.find_project(), Project)

    def lock(self) -> None:
        super().lock()
        if self.locked == "project":
            lock_project(self.project.pk)
