"""Which environment a request is about when its path does not say so."""

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from environments.access import visible_environments
from environments.models import Environment
from features.values import MAX_32_BIT_INTEGER
from organisations.access import Actor


def environment_named(value: Any, actor: Actor) -> Environment:
    """The environment of this primary key, a number or its digits.

    Raises PermissionDenied (403, as Flagsmith does) for none, for nonsense and for one that the caller may not see.
    """
    pk = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= 10 else value
    if isinstance(pk, bool) or not isinstance(pk, int) or not 0 <= pk <= MAX_32_BIT_INTEGER:
        raise PermissionDenied
    environment = visible_environments(actor).select_related("project").filter(pk=pk).first()
    if environment is None:
        raise PermissionDenied
    return environment


def in_body(request: Request, field: str) -> Any:
    """What the body says in this field; None where it says nothing."""
    return request.data.get(field) if isinstance(request.data, dict) else None
