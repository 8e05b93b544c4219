"""Finds the environment of a request whose query or body has the environment's primary key."""

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from environments.access import visible_environments
from environments.models import Environment
from features.values import MAX_32_BIT_INTEGER
from organisations.access import Actor


def environment_by_id(value: Any, actor: Actor) -> Environment:
    """The environment with this primary key (an integer, or its decimal digits).

    Raises PermissionDenied (403, as in Flagsmith) if the key is missing or invalid, or if the environment is not
    visible to the actor.
    """
    pk = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= 10 else value
    if isinstance(pk, bool) or not isinstance(pk, int) or not 0 <= pk <= MAX_32_BIT_INTEGER:
        raise PermissionDenied
    environment = visible_environments(actor).select_related("project").filter(pk=pk).first()
    if environment is None:
        raise PermissionDenied
    return environment


def body_field(request: Request, field: str) -> Any:
    """The value of a field of the request's body, or None."""
    return request.data.get(field) if isinstance(request.data, dict) else None
