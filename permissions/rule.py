"""Rules: the conditions that the table in ``permissions.rules`` is made of.

A rule states its condition once, as data. Its description for the API's schema, and the decision whether a caller may
call a view, follow from that; tests compute from the same data which answer each caller must get.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from environments.access import has_environment_permission, is_environment_admin
from organisations.access import Actor, has_organisation_permission, is_organisation_admin, may_create_project
from projects.access import has_project_permission, is_project_admin
from sdk.authentication import SDKClient
from users.models import FFAdminUser

MEMBER = "member"
ADMIN = "admin"

Level = Literal["organisation", "project", "environment"]

IS_ADMIN: dict[Level, Callable[[Actor, Any], bool]] = {
    "organisation": is_organisation_admin,
    "project": is_project_admin,
    "environment": is_environment_admin,
}
HAS_PERMISSION: dict[Level, Callable[[Actor, Any, str], bool]] = {
    "organisation": has_organisation_permission,
    "project": has_project_permission,
    "environment": has_environment_permission,
}


class Rule:
    """The base of all rules."""

    @property
    def description(self) -> str:
        """The callers that the rule permits, for the API's schema."""
        raise NotImplementedError

    def permits(self, actor: Any, view: Any) -> bool:
        """True if the actor, None if nobody is signed in, may call the view."""
        raise NotImplementedError


@dataclass(frozen=True)
class Anyone(Rule):
    description = "anyone"

    def permits(self, actor: Any, view: Any) -> bool:
        return True


@dataclass(frozen=True)
class Nobody(Rule):
    """There is nothing here: the view answers 404 with the reason to callers who may see what it would be about."""

    description = "nobody: there is none here"

    def permits(self, actor: Any, view: Any) -> bool:
        return actor is not None


@dataclass(frozen=True)
class SignedIn(Rule):
    """A user's token or, unless ``user``, a master API key."""

    user: bool = False

    @property
    def description(self) -> str:
        return "a signed-in user" if self.user else "a signed-in user or a master API key"

    def permits(self, actor: Any, view: Any) -> bool:
        return isinstance(actor, FFAdminUser) if self.user else actor is not None


@dataclass(frozen=True)
class Has(Rule):
    """A permission's key at this level, or ``MEMBER`` or ``ADMIN`` there. An admin needs no key.

    A caller who may not see the view's organisation, project or environment is answered that it does not exist.
    """

    level: Level
    key: str

    @property
    def description(self) -> str:
        if self.key in (MEMBER, ADMIN):
            return f"{'an admin' if self.key == ADMIN else 'a member'} of the {self.level}"
        return f"{self.key} in the {self.level}"

    def permits(self, actor: Any, view: Any) -> bool:
        return actor is not None and self._holds(actor, getattr(view, self.level))

    def _holds(self, actor: Actor, scope: Any) -> bool:
        if self.key == MEMBER:
            return True  # The view finds only the scopes that the caller belongs to.
        if self.key == ADMIN:
            return IS_ADMIN[self.level](actor, scope)
        return HAS_PERMISSION[self.level](actor, scope, self.key)


@dataclass(frozen=True)
class SDKKey(Rule):
    """A key of the environment, in the header that SDKs send it in; with ``server``, a server-side key."""

    server: bool = False

    @property
    def description(self) -> str:
        return f"anyone with a {'server-side ' if self.server else ''}key of the environment"

    def permits(self, actor: Any, view: Any) -> bool:
        return isinstance(actor, SDKClient) and (actor.server_side or not self.server)


@dataclass(frozen=True)
class Secret(Rule):
    """The secret of a setting. The view checks it itself."""

    setting: str

    @property
    def description(self) -> str:
        return f"anyone with the secret of {self.setting}"

    def permits(self, actor: Any, view: Any) -> bool:
        return False


@dataclass(frozen=True)
class Either(Rule):
    first: Rule
    second: Rule

    @property
    def description(self) -> str:
        return f"{self.first.description}, or {self.second.description}"

    def permits(self, actor: Any, view: Any) -> bool:
        return self.first.permits(actor, view) or self.second.permits(actor, view)


@dataclass(frozen=True)
class Both(Rule):
    first: Rule
    second: Rule

    @property
    def description(self) -> str:
        return f"{self.first.description}, and {self.second.description}"

    def permits(self, actor: Any, view: Any) -> bool:
        return self.first.permits(actor, view) and self.second.permits(actor, view)


@dataclass(frozen=True)
class Reaching(Rule):
    """For a view that looks up its object among those that the caller has ``needs`` for: any other object is a 404.

    The path or the body names the object itself, so there is no scope to check before the look-up. With ``user``, a
    master API key is denied.
    """

    needs: Rule
    user: bool = False

    @property
    def description(self) -> str:
        return f"{self.needs.description} of what is asked for; for others it does not exist"

    def permits(self, actor: Any, view: Any) -> bool:
        return SignedIn(self.user).permits(actor, view)


@dataclass(frozen=True)
class ByTarget(Rule):
    """A rule that depends on the object of the call.

    ``special`` applies to a feature with multivariate options, or to a segment's override.
    """

    special: Rule
    otherwise: Rule


class CreatesProject(Has):
    @property
    def description(self) -> str:
        return f"{super().description}, or an admin of it where only admins create projects"

    def _holds(self, actor: Actor, scope: Any) -> bool:
        return may_create_project(actor, scope)


class ManagesGroup(Reaching):
    """The view looks up the group in ``organisations.access.manageable_groups``."""

    description = "MANAGE_USER_GROUPS in the organisation, or an admin of the group; for others it does not exist"

    def permits(self, actor: Any, view: Any) -> bool:
        return ORGANISATION_MEMBER.permits(actor, view)


class AdministersScope(Has):
    """For a body that names an environment or an organisation. The data is that of an environment."""

    description = "an admin of the environment or the organisation that the body names"

    def permits(self, actor: Any, view: Any) -> bool:
        if actor is None:
            return False
        level: Level = "environment" if view.validated_data["scope"]["type"] == "environment" else "organisation"
        return Has(level, ADMIN).permits(actor, view)


class CreatesFeature(ByTarget):
    """The serializer sees the options, and checks for the admin."""

    description = "CREATE_FEATURE in the project; with multivariate options, an admin of the project"

    def permits(self, actor: Any, view: Any) -> bool:
        return self.otherwise.permits(actor, view)


class WritesFeatureState(ByTarget):
    description = "MANAGE_SEGMENT_OVERRIDES in the environment for a segment's override, otherwise UPDATE_FEATURE_STATE"

    def permits(self, actor: Any, view: Any) -> bool:
        return actor is not None and Has("environment", view.permission).permits(actor, view)


class WritesFlag(ByTarget):
    description = (
        "UPDATE_FEATURE_STATE in the environment for what everybody gets, "
        "MANAGE_SEGMENT_OVERRIDES for segments' overrides"
    )

    def permits(self, actor: Any, view: Any) -> bool:
        return actor is not None and all(Has("environment", key).permits(actor, view) for key in view.permissions)


ANYONE = Anyone()
ACTOR = SignedIn()
NOBODY = Nobody()
USER = SignedIn(user=True)

ORGANISATION_MEMBER = Has("organisation", MEMBER)
ORGANISATION_ADMIN = Has("organisation", ADMIN)
PROJECT_ADMIN = Has("project", ADMIN)
ENVIRONMENT_ADMIN = Has("environment", ADMIN)

CREATE_PROJECT = CreatesProject("organisation", "CREATE_PROJECT")
GROUP_MANAGER = ManagesGroup(Has("organisation", "MANAGE_USER_GROUPS"))
SCOPE_ADMIN = AdministersScope("environment", ADMIN)
FEATURE_CREATOR = CreatesFeature(special=PROJECT_ADMIN, otherwise=Has("project", "CREATE_FEATURE"))

_OVERRIDE = Has("environment", "MANAGE_SEGMENT_OVERRIDES")
_DEFAULT = Has("environment", "UPDATE_FEATURE_STATE")
FEATURE_STATE_WRITER = WritesFeatureState(special=_OVERRIDE, otherwise=_DEFAULT)
FLAG_WRITER = WritesFlag(special=_OVERRIDE, otherwise=_DEFAULT)

ENVIRONMENT_KEY = SDKKey()
SERVER_KEY = SDKKey(server=True)
PUBLISHER = Secret("SSE_AUTHENTICATION_TOKEN")
SCRAPER = Secret("REALTIME_METRICS_TOKEN")

# A permission's key in the view's organisation, project or environment.
organisation = partial(Has, "organisation")
project = partial(Has, "project")
environment = partial(Has, "environment")
