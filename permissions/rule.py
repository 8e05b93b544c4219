"""What a rule is, and what the table in ``permissions.rules`` is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from environments.access import has_environment_permission, is_environment_admin
from organisations.access import (
    has_organisation_permission,
    is_organisation_admin,
    may_create_project,
)
from permissions import needs
from permissions.needs import Needs
from projects.access import has_project_permission, is_project_admin
from sdk.authentication import SDKClient
from users.models import FFAdminUser


@dataclass(frozen=True)
class Rule:
    """The same three times: a sentence for people, which the API's description shows; whether it lets this actor call
    this view; and data for tests."""

    says: str
    permits: Callable[[Any, Any], bool]
    needs: Needs | None = None
    """None fails the tests: nobody can check such a rule."""


ANYONE = Rule("anyone", lambda actor, view: True, needs.Anyone())
ACTOR = Rule("a signed-in user or a master API key", lambda actor, view: actor is not None, needs.SignedIn())
# The view answers 404, and says why to whoever may see what it would be about.
NOBODY = Rule("nobody: there is none here", lambda actor, view: actor is not None, needs.Nobody())
USER = Rule("a signed-in user", lambda actor, view: isinstance(actor, FFAdminUser), needs.SignedIn(user=True))

ORGANISATION_MEMBER = Rule(
    "a member of the organisation",
    lambda actor, view: actor is not None and view.organisation is not None,
    needs.Has("organisation", needs.MEMBER),
)
ORGANISATION_ADMIN = Rule(
    "an admin of the organisation",
    lambda actor, view: actor is not None and is_organisation_admin(actor, view.organisation),
    needs.Has("organisation", needs.ADMIN),
)
CREATE_PROJECT = Rule(
    "CREATE_PROJECT in the organisation, or an admin of it where only admins create projects",
    lambda actor, view: actor is not None and may_create_project(actor, view.organisation),
    needs.Has("organisation", "CREATE_PROJECT"),
)
GROUP_MANAGER = Rule(
    "MANAGE_USER_GROUPS in the organisation, or an admin of the group; for others it does not exist",
    # Views look for the group in organisations.access.manageable_groups.
    lambda actor, view: actor is not None and view.organisation is not None,
    needs.Reaching(needs.Has("organisation", "MANAGE_USER_GROUPS")),
)
PROJECT_ADMIN = Rule(
    "an admin of the project",
    lambda actor, view: actor is not None and is_project_admin(actor, view.project),
    needs.Has("project", needs.ADMIN),
)
ENVIRONMENT_ADMIN = Rule(
    "an admin of the environment",
    lambda actor, view: actor is not None and is_environment_admin(actor, view.environment),
    needs.Has("environment", needs.ADMIN),
)
SCOPE_ADMIN = Rule(
    "an admin of the environment or the organisation that the body names",
    lambda actor, view: (
        actor is not None
        and (
            is_environment_admin(actor, view.environment)
            if view.asked["scope"]["type"] == "environment"
            else is_organisation_admin(actor, view.organisation)
        )
    ),
    # Of a body that names an environment.
    needs.Has("environment", needs.ADMIN),
)
FEATURE_STATE_WRITER = Rule(
    "MANAGE_SEGMENT_OVERRIDES in the environment for a segment's override, otherwise UPDATE_FEATURE_STATE",
    lambda actor, view: actor is not None and has_environment_permission(actor, view.environment, view.permission),
    needs.ByTarget(
        special=needs.Has("environment", "MANAGE_SEGMENT_OVERRIDES"),
        otherwise=needs.Has("environment", "UPDATE_FEATURE_STATE"),
    ),
)
FEATURE_CREATOR = Rule(
    "CREATE_FEATURE in the project; with multivariate options, an admin of the project",
    # The options are the serializer's to see.
    lambda actor, view: actor is not None and has_project_permission(actor, view.project, "CREATE_FEATURE"),
    needs.ByTarget(special=needs.Has("project", needs.ADMIN), otherwise=needs.Has("project", "CREATE_FEATURE")),
)
FLAG_WRITER = Rule(
    "UPDATE_FEATURE_STATE in the environment for what everybody gets, MANAGE_SEGMENT_OVERRIDES for segments' overrides",
    lambda actor, view: (
        actor is not None and all(has_environment_permission(actor, view.environment, key) for key in view.permissions)
    ),
    needs.ByTarget(
        special=needs.Has("environment", "MANAGE_SEGMENT_OVERRIDES"),
        otherwise=needs.Has("environment", "UPDATE_FEATURE_STATE"),
    ),
)
ENVIRONMENT_KEY = Rule(
    "whoever has a key of the environment", lambda actor, view: isinstance(actor, SDKClient), needs.SDKKey()
)
SERVER_KEY = Rule(
    "whoever has a server-side key of the environment",
    lambda actor, view: isinstance(actor, SDKClient) and actor.server,
    needs.SDKKey(server=True),
)
# realtime.external.views asks it itself.
PUBLISHER = Rule("whoever has the secret of SSE_AUTHENTICATION_TOKEN", lambda actor, view: False, needs.Secret())
# realtime.monitoring.scraping asks it itself.
SCRAPER = Rule("whoever has the secret of REALTIME_METRICS_TOKEN", lambda actor, view: False, needs.Secret())


def organisation(key: str) -> Rule:
    """An actor with this permission in the view's organisation, or an admin of it."""
    return Rule(
        f"{key} in the organisation",
        lambda actor, view: actor is not None and has_organisation_permission(actor, view.organisation, key),
        needs.Has("organisation", key),
    )


def project(key: str) -> Rule:
    """An actor with this permission in the view's project, or an admin of it."""
    return Rule(
        f"{key} in the project",
        lambda actor, view: actor is not None and has_project_permission(actor, view.project, key),
        needs.Has("project", key),
    )


def environment(key: str) -> Rule:
    """An actor with this permission in the view's environment, or an admin of it."""
    return Rule(
        f"{key} in the environment",
        lambda actor, view: actor is not None and has_environment_permission(actor, view.environment, key),
        needs.Has("environment", key),
    )


def either(first: Rule, second: Rule) -> Rule:
    return Rule(
        f"{first.says}, or {second.says}",
        lambda actor, view: first.permits(actor, view) or second.permits(actor, view),
        needs.Either(first.needs, second.needs) if first.needs and second.needs else None,
    )


def both(first: Rule, second: Rule) -> Rule:
    return Rule(
        f"{first.says}, and {second.says}",
        lambda actor, view: first.permits(actor, view) and second.permits(actor, view),
        needs.Both(first.needs, second.needs) if first.needs and second.needs else None,
    )


def reaching(rule: Rule, who: Rule = ACTOR) -> Rule:
    """For a view that looks for its object among those that the caller may see: the object itself is in the path or in
    the body, so that there is no scope to ask about ahead of it. ``who`` may ask at all."""
    return Rule(
        f"{rule.says} of what is asked for; for others it does not exist",
        who.permits,
        needs.Reaching(rule.needs, user=who is USER) if rule.needs else None,
    )
