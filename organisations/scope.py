"""The base view of the Admin API, for objects below an organisation."""

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
    """The base of views below ``organisations/{organisation_pk}/``.

    A scope that the caller may not see is a 404. Subclasses whose paths do not contain the organisation override
    ``find_organisation``. ``projects.scope`` and ``environments.scope`` have the base views for projects and
    environments.
    """

    rules: str
    """The view's entry in ``permissions.rules.RULES``."""

    locked: str | None = None
    """The scope that a write locks after the permission check, so that the handler reads current rows: "project",
    "environment" or None."""

    lookup_value_regex = ID
    """The pattern of an id in the path. Not any digits, since Python also converts digits of other scripts."""

    @property
    def actor(self) -> Actor:
        """The caller, who is signed in, unless the view's rule allows anyone. Such views do not use this property."""
        return cast(Actor, self.request.user)

    def find_organisation(self) -> Organisation | None:
        return visible_organisations(self.actor).filter(pk=self.kwargs["organisation_pk"]).first()

    @cached_property
    def organisation(self) -> Organisation:
        return require(self.find_organisation(), Organisation)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in SAFE_METHODS and hasattr(self, (request.method or "").lower()):
            self.lock()

    def lock(self) -> None:
        """Lock the scope that ``locked`` names. Subclasses implement this."""


def require(row: Any, model: Any) -> Any:
    """Return the row. Raises NotFound if it is None."""
    if row is None:
        raise NotFound(f"No {model.__name__} matches the given query.")
    return row
