"""Base views for environments and for objects below them."""

from functools import cached_property

from core.locks import lock_environment
from core.paths import ENVIRONMENT_KEY
from environments.access import visible_environments
from environments.models import Environment
from organisations.scope import require
from projects.models import Project
from projects.scope import ProjectScopedView


class EnvironmentScopedView(ProjectScopedView):
    """The base of views below ``environments/{environment_api_key}/``."""

    def find_project(self) -> Project | None:
        return super().find_project() if "project_pk" in self.kwargs else self.environment.project

    def find_environment(self) -> Environment | None:
        environments = visible_environments(self.actor).select_related("project")
        return environments.filter(api_key=self.kwargs["environment_api_key"]).first()

    @cached_property
    def environment(self) -> Environment:
        return require(self.find_environment(), Environment)

    def lock(self) -> None:
        super().lock()
        if self.locked == "environment":
            lock_environment(self.environment.pk)


class EnvironmentsView(EnvironmentScopedView):
    """The base of views of ``environments/``, whose paths identify an environment by its key."""

    rules = "environments"
    queryset = Environment.objects.none()
    lookup_field = "api_key"
    lookup_url_kwarg = "environment_api_key"
    lookup_value_regex = ENVIRONMENT_KEY
