"""What every view of the API does: one transaction for a write, and the project or environment that it is about."""

from functools import cached_property
from typing import Any, cast

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.views import APIView

from core import actor, changes
from core.locks import lock_environment, lock_project
from core.paths import ID
from environments.models import Environment
from organisations.models import Organisation
from permissions import access
from projects.models import Project


class AtomicWrites(APIView):
    """A write is one transaction, undone by any answer of 400 and up; a read takes none.

    Not Django's ATOMIC_REQUESTS: on SQLite that would take the write lock for every read.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in SAFE_METHODS:
            return super().dispatch(request, *args, **kwargs)
        with transaction.atomic(), actor.request(), changes.observed():
            response = super().dispatch(request, *args, **kwargs)
            if response.status_code >= 400:
                transaction.set_rollback(True)
            else:
                changes.finish()
            return response

    def perform_authentication(self, request: Request) -> None:
        """The audit log names whoever calls as the author of what changes."""
        super().perform_authentication(request)
        if request.method not in SAFE_METHODS:
            actor.signed_in(request.user)


class ScopedView(AtomicWrites, GenericAPIView):
    """A view below ``organisations/{organisation_pk}/``, ``projects/{project_pk}/`` or
    ``environments/{environment_api_key}/``.

    What the caller may not see does not exist: 404. Subclasses whose paths name their scope in another way (by the
    object itself, or in the body) override ``find_organisation``, ``find_project`` or ``find_environment``. Before a
    write, once the caller is allowed, what ``locked`` names is locked, so that the handler reads current rows.
    """

    rules: str
    """The view's entry in ``permissions.rules.RULES``."""

    locked: str | None = None
    """"project" or "environment"."""

    lookup_value_regex = ID
    """Of the object in the path. Not any digits: to Python, those of other scripts are a number too."""

    @property
    def actor(self) -> access.Actor:
        """Who calls. The rules let nobody through who is not signed in, but for a few views that never ask."""
        return cast(access.Actor, self.request.user)

    def find_organisation(self) -> Organisation | None:
        return access.visible_organisations(self.actor).filter(pk=self.kwargs["organisation_pk"]).first()

    def find_project(self) -> Project | None:
        if "project_pk" in self.kwargs:
            projects = access.visible_projects(self.actor)
            return projects.filter(pk=self.kwargs["project_pk"]).first()
        return self.environment.project

    def find_environment(self) -> Environment | None:
        environments = access.visible_environments(self.actor).select_related("project")
        return environments.filter(api_key=self.kwargs["environment_api_key"]).first()

    @cached_property
    def organisation(self) -> Organisation:
        return _found(self.find_organisation(), Organisation)

    @cached_property
    def project(self) -> Project:
        return _found(self.find_project(), Project)

    @cached_property
    def environment(self) -> Environment:
        return _found(self.find_environment(), Environment)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method in SAFE_METHODS or not hasattr(self, (request.method or "").lower()):
            return
        if self.locked == "project":
            lock_project(self.project.pk)
        elif self.locked == "environment":
            lock_environment(self.environment.pk)


def _found(found: Any, model: Any) -> Any:
    if found is None:
        raise NotFound(f"No {model.__name__} matches the given query.")
    return found
