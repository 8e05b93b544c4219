"""Who may call what: the one table of it. What stands not here is refused.

The key is a view's ``rules`` name, then its action (``list``, ``create``, ``retrieve``, …; the lower-case method for a
view without actions). ``permissions.enforcement`` applies it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from permissions import access


@dataclass(frozen=True)
class Rule:
    """A sentence for people, and the same for the machine: does it let this actor call this view?"""

    says: str
    permits: Callable[[Any, Any], bool]


ANYONE = Rule("anyone", lambda actor, view: True)
ACTOR = Rule("a signed-in user or a master API key", lambda actor, view: actor is not None)
USER = Rule("a signed-in user", lambda actor, view: isinstance(actor, access.FFAdminUser))

ORGANISATION_MEMBER = Rule(
    "a member of the organisation", lambda actor, view: actor is not None and view.organisation is not None
)
ORGANISATION_ADMIN = Rule(
    "an admin of the organisation",
    lambda actor, view: actor is not None and access.is_organisation_admin(actor, view.organisation),
)
PROJECT_ADMIN = Rule(
    "an admin of the project", lambda actor, view: actor is not None and access.is_project_admin(actor, view.project)
)
ENVIRONMENT_ADMIN = Rule(
    "an admin of the environment",
    lambda actor, view: actor is not None and access.is_environment_admin(actor, view.environment),
)


def project(key: str) -> Rule:
    """An actor with this permission in the view's project, or an admin of it."""
    return Rule(
        f"{key} in the project",
        lambda actor, view: actor is not None and access.has_project_permission(actor, view.project, key),
    )


def environment(key: str) -> Rule:
    """An actor with this permission in the view's environment, or an admin of it."""
    return Rule(
        f"{key} in the environment",
        lambda actor, view: actor is not None and access.has_environment_permission(actor, view.environment, key),
    )


RULES: dict[str, dict[str, Rule]] = {}
