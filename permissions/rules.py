"""Who may call what: the one table of it. What stands not here is refused.

The key is a view's ``rules`` name, then its action (``list``, ``create``, ``retrieve``, …; the lower-case method for a
view without actions). ``permissions.enforcement`` applies it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from environments.sdk.authentication import SDKClient
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
CREATE_PROJECT = Rule(
    "CREATE_PROJECT in the organisation, or an admin of it where only admins create projects",
    lambda actor, view: actor is not None and access.may_create_project(actor, view.organisation),
)
PROJECT_ADMIN = Rule(
    "an admin of the project", lambda actor, view: actor is not None and access.is_project_admin(actor, view.project)
)
ENVIRONMENT_ADMIN = Rule(
    "an admin of the environment",
    lambda actor, view: actor is not None and access.is_environment_admin(actor, view.environment),
)


FEATURE_STATE_WRITER = Rule(
    "MANAGE_SEGMENT_OVERRIDES in the environment for a segment's override, otherwise UPDATE_FEATURE_STATE",
    lambda actor, view: (
        actor is not None and access.has_environment_permission(actor, view.environment, view.permission)
    ),
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


def either(first: Rule, second: Rule) -> Rule:
    return Rule(
        f"{first.says}, or {second.says}",
        lambda actor, view: first.permits(actor, view) or second.permits(actor, view),
    )


def both(first: Rule, second: Rule) -> Rule:
    return Rule(
        f"{first.says}, and {second.says}",
        lambda actor, view: first.permits(actor, view) and second.permits(actor, view),
    )


ALL = ("list", "create", "retrieve", "update", "partial_update", "destroy")

READ = ("list", "retrieve")

ENVIRONMENT_KEY = Rule("whoever has a key of the environment", lambda actor, view: isinstance(actor, SDKClient))
SERVER_KEY = Rule(
    "whoever has a server-side key of the environment",
    lambda actor, view: isinstance(actor, SDKClient) and actor.server,
)

RULES: dict[str, dict[str, Rule]] = {
    "registration": {"post": ANYONE},
    "login": {"post": ANYONE},
    "logout": {"post": USER},
    "token": {"delete": USER},
    "me": {"get": USER, "put": USER, "patch": USER, "delete": USER},
    "organisations": {
        "list": ACTOR,
        "create": USER,
        "retrieve": ORGANISATION_ADMIN,
        "update": ORGANISATION_ADMIN,
        "partial_update": ORGANISATION_ADMIN,
        "destroy": ORGANISATION_ADMIN,
        "get_by_uuid": ACTOR,
        "projects": ORGANISATION_MEMBER,
        "remove_users": ORGANISATION_ADMIN,
        "permissions": ACTOR,
        "my_permissions": ORGANISATION_MEMBER,
    },
    "organisations/users": {"list": ORGANISATION_MEMBER, "update_role": ORGANISATION_ADMIN},
    "organisations/user-permissions": dict.fromkeys(ALL, ORGANISATION_ADMIN),
    "organisations/master-api-keys": dict.fromkeys(ALL, ORGANISATION_ADMIN),
    "projects": {
        "list": ACTOR,
        "create": CREATE_PROJECT,
        "retrieve": project("VIEW_PROJECT"),
        "update": PROJECT_ADMIN,
        "partial_update": PROJECT_ADMIN,
        "destroy": PROJECT_ADMIN,
        "get_by_uuid": ACTOR,
        "environments": PROJECT_ADMIN,
        "permissions": ACTOR,
        "my_permissions": project("VIEW_PROJECT"),
    },
    "projects/user-permissions": dict.fromkeys(ALL, PROJECT_ADMIN),
    "projects/tags": {
        "list": project("VIEW_PROJECT"),
        "retrieve": project("VIEW_PROJECT"),
        "get_by_uuid": project("VIEW_PROJECT"),
        "create": project("MANAGE_TAGS"),
        "update": project("MANAGE_TAGS"),
        "partial_update": project("MANAGE_TAGS"),
        "destroy": project("MANAGE_TAGS"),
    },
    "environments": {
        "list": ACTOR,
        "create": project("CREATE_ENVIRONMENT"),
        "retrieve": environment("VIEW_ENVIRONMENT"),
        "update": ENVIRONMENT_ADMIN,
        "partial_update": ENVIRONMENT_ADMIN,
        "destroy": ENVIRONMENT_ADMIN,
        "get_by_uuid": ACTOR,
        "clone": project("CREATE_ENVIRONMENT"),
        "permissions": ACTOR,
        "my_permissions": environment("VIEW_ENVIRONMENT"),
        "document": environment("VIEW_ENVIRONMENT"),
        "trait_keys": environment("VIEW_ENVIRONMENT"),
        "delete_traits": ENVIRONMENT_ADMIN,
        "metrics": ENVIRONMENT_ADMIN,
    },
    "environments/api-keys": dict.fromkeys(ALL, ENVIRONMENT_ADMIN),
    "environments/user-permissions": {
        **dict.fromkeys(ALL, ENVIRONMENT_ADMIN),
        "list": environment("VIEW_ENVIRONMENT"),
    },
    "identities": {
        "list": environment("VIEW_IDENTITIES"),
        "retrieve": environment("VIEW_IDENTITIES"),
        "create": environment("MANAGE_IDENTITIES"),
        "update": environment("MANAGE_IDENTITIES"),
        "partial_update": environment("MANAGE_IDENTITIES"),
        "destroy": environment("MANAGE_IDENTITIES"),
    },
    "identity-featurestates": {
        "list": environment("VIEW_ENVIRONMENT"),
        "retrieve": environment("VIEW_ENVIRONMENT"),
        "all": environment("VIEW_ENVIRONMENT"),
        "create": environment("UPDATE_FEATURE_STATE"),
        "update": environment("UPDATE_FEATURE_STATE"),
        "partial_update": environment("UPDATE_FEATURE_STATE"),
        "destroy": environment("UPDATE_FEATURE_STATE"),
        "clone_from_given_identity": environment("UPDATE_FEATURE_STATE"),
    },
    "traits": {
        "list": environment("VIEW_IDENTITIES"),
        "retrieve": environment("VIEW_IDENTITIES"),
        "create": environment("MANAGE_IDENTITIES"),
        "update": environment("MANAGE_IDENTITIES"),
        "partial_update": environment("MANAGE_IDENTITIES"),
        "destroy": environment("MANAGE_IDENTITIES"),
    },
    "sdk/flags": {"get": ENVIRONMENT_KEY, "head": ENVIRONMENT_KEY},
    "sdk/identities": {"get": ENVIRONMENT_KEY, "head": ENVIRONMENT_KEY, "post": ENVIRONMENT_KEY},
    "sdk/traits": {"post": ENVIRONMENT_KEY},
    "sdk/traits/bulk": {"put": ENVIRONMENT_KEY, "post": ENVIRONMENT_KEY},
    "sdk/environment-document": {"get": SERVER_KEY, "head": SERVER_KEY},
    "sdk/analytics/flags": {"post": ENVIRONMENT_KEY},
    "features": {
        "list": project("VIEW_PROJECT"),
        "retrieve": project("VIEW_PROJECT"),
        "create": project("CREATE_FEATURE"),
        "update": project("CREATE_FEATURE"),
        "partial_update": project("CREATE_FEATURE"),
        "destroy": project("DELETE_FEATURE"),
        "add_owners": project("CREATE_FEATURE"),
        "remove_owners": project("CREATE_FEATURE"),
    },
    "features/get-by-uuid": {"get": ACTOR, "head": ACTOR},
    "mv-options": {
        "list": project("VIEW_PROJECT"),
        "retrieve": project("VIEW_PROJECT"),
        "create": project("CREATE_FEATURE"),
        "update": project("CREATE_FEATURE"),
        "partial_update": project("CREATE_FEATURE"),
        "destroy": project("CREATE_FEATURE"),
    },
    "mv-options/get-by-uuid": {"get": ACTOR, "head": ACTOR},
    "environment-featurestates": {
        "list": environment("VIEW_ENVIRONMENT"),
        "retrieve": environment("VIEW_ENVIRONMENT"),
        "create": environment("UPDATE_FEATURE_STATE"),
        "update": environment("UPDATE_FEATURE_STATE"),
        "partial_update": environment("UPDATE_FEATURE_STATE"),
        "destroy": environment("UPDATE_FEATURE_STATE"),
    },
    "featurestates": {
        "list": environment("VIEW_ENVIRONMENT"),
        "create": FEATURE_STATE_WRITER,
        "update": FEATURE_STATE_WRITER,
        "partial_update": FEATURE_STATE_WRITER,
    },
    "featurestates/get-by-uuid": {"get": ACTOR, "head": ACTOR},
    "feature-segments": {
        "list": environment("VIEW_ENVIRONMENT"),
        "retrieve": environment("VIEW_ENVIRONMENT"),
        "create": environment("MANAGE_SEGMENT_OVERRIDES"),
        "update": environment("MANAGE_SEGMENT_OVERRIDES"),
        "partial_update": environment("MANAGE_SEGMENT_OVERRIDES"),
        "destroy": environment("MANAGE_SEGMENT_OVERRIDES"),
    },
    "feature-segments/get-by-uuid": {"get": ACTOR, "head": ACTOR},
    # MANAGE_SEGMENT_OVERRIDES in the environment of the feature segments that the body names.
    "feature-segments/update-priorities": {"post": ACTOR},
    "create-segment-override": {"post": environment("MANAGE_SEGMENT_OVERRIDES")},
    "create-change-request": {"post": environment("CREATE_CHANGE_REQUEST")},
    "list-change-requests": {"get": environment("VIEW_ENVIRONMENT"), "head": environment("VIEW_ENVIRONMENT")},
    "change-requests": {
        "retrieve": environment("VIEW_ENVIRONMENT"),
        "update": environment("CREATE_CHANGE_REQUEST"),
        "partial_update": environment("CREATE_CHANGE_REQUEST"),
        "destroy": environment("CREATE_CHANGE_REQUEST"),
        # Never of one's own; services.approve sees to that.
        "approve": environment("APPROVE_CHANGE_REQUEST"),
        "commit": environment("UPDATE_FEATURE_STATE"),
    },
    "projects/change-requests": {
        "list": project("VIEW_PROJECT"),
        "retrieve": project("VIEW_PROJECT"),
        "create": project("CREATE_PROJECT_LEVEL_CHANGE_REQUESTS"),
        "update": project("CREATE_PROJECT_LEVEL_CHANGE_REQUESTS"),
        "partial_update": project("CREATE_PROJECT_LEVEL_CHANGE_REQUESTS"),
        "destroy": either(
            project("CREATE_PROJECT_LEVEL_CHANGE_REQUESTS"), project("MANAGE_PROJECT_LEVEL_CHANGE_REQUESTS")
        ),
        "approve": project("APPROVE_PROJECT_LEVEL_CHANGE_REQUESTS"),
        "commit": both(project("MANAGE_PROJECT_LEVEL_CHANGE_REQUESTS"), project("MANAGE_SEGMENTS")),
    },
    "segments": {
        "list": project("VIEW_PROJECT"),
        "retrieve": project("VIEW_PROJECT"),
        "create": project("MANAGE_SEGMENTS"),
        "update": project("MANAGE_SEGMENTS"),
        "partial_update": project("MANAGE_SEGMENTS"),
        "destroy": project("MANAGE_SEGMENTS"),
        "clone": project("MANAGE_SEGMENTS"),
        "associated_features": project("MANAGE_SEGMENTS"),
    },
    "segments/get-by-uuid": {"get": ACTOR, "head": ACTOR},
    # The entries of those organisations that the user is an admin of.
    "audit": dict.fromkeys(READ, USER),
    "organisations/audit": dict.fromkeys(READ, ORGANISATION_ADMIN),
    "projects/audit": dict.fromkeys(READ, project("VIEW_AUDIT_LOG")),
}
