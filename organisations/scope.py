"""The base view of the Admin API, for views below an organisation."""

from functools import cached_property
from typing import Any, cast

from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from core.paths import ID
from core.views import AtomicWrites
from organisations.access import Actor, visible_organisations
from organisations.models import Organisation


class OrganisationScopedView(AtomicWrites, GenericAPIView):
    """A view below ``organisations/{organisation_pk}/``.

    What the caller may not see does not exist: 404. Subclasses whose paths name their scope in another way (by the
    object itself, or in the body) override ``find_organisation``. ``projects.scope`` and ``environments.scope`` have
    the views of projects and environments.
    """

    rules: str
    """The view's entry in ``permissions.rules.RULES``."""

    locked: str | None = None
    """"project" or "environment", where a view has one. A write locks it once the caller is allowed, so that the
    handler reads current rows."""

    lookup_value_regex = ID
    """Of the object in the path. Not any digits: to Python, those of other scripts are a number too."""

    @property
    def actor(self) -> Actor:
        """The caller. The rules let nobody through who is not signed in, but for a few views that never ask."""
        return cast(Actor, self.request.user)

    def find_organisation(self) -> Organisation | None:
        return visible_organisations(self.actor).filter(pk=self.kwargs["organisation_pk"]).first()

    @cached_property
    def organisation(self) -> Organisation:
        return found(self.find_organisation(), Organisation)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in SAFE_METHODS and hasattr(self, (request.method or "").lower()):
            self.lock()

    def lock(self) -> None:
        """Take the locks that ``locked`` names. An organisation has none."""


def found(row: Any, model: Any) -> Any:
    """The row. Raises NotFound for None."""
    if row is None:
        raise NotFound(f"No {model.__name__} matches the given query.")
    return row
