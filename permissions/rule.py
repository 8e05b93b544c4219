"""Rule classes: the conditions in the table of ``permissions.rules``.

A rule's condition is data. The decision about a caller and the description in the API's schema are derived from it, and
tests compute from it which response each caller must get.
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
        """True if the actor may call the view. The actor is None for a call without valid credentials."""
        raise NotImplementedError


@dataclass(frozen=True)
class Anyone(Rule):
    description = "anyone"

    def permits(self, actor: Any, view: Any) -> bool:
        return True


@dataclass(frozen=True)
class NotAvailable(Rule):
    """For endpoints of Flagsmith that this product does not have. The view responds to signed-in callers with a 404."""

    description = "no caller: the endpoint is not available"

    def permits(self, actor: Any, view: Any) -> bool:
        return actor is not None


@dataclass(frozen=True)
class SignedIn(Rule):
    """A caller with a user's token or, unless ``user`` is true, with a master API key."""

    user: bool = False

    @property
    def description(self) -> str:
        return "a signed-in user" if self.user else "a signed-in user or a master API key"

    def permits(self, actor: Any, view: Any) -> bool:
        return isinstance(actor, FFAdminUser) if self.user else actor is not None


@dataclass(frozen=True)
class Has(Rule):
    """A caller who has this permission at this level. ``MEMBER`` and ``ADMIN`` are keys too. An admin needs no other.

    A caller who may not see the view's organisation, project or environment gets a 404 from the view.
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
            return True  # The view only finds scopes that the caller belongs to.
        if self.key == ADMIN:
            return IS_ADMIN[self.level](actor, scope)
        return HAS_PERMISSION[self.level](actor, scope, self.key)


@dataclass(frozen=True)
class SDKKey(Rule):
    """A caller with an environment key in ``X-Environment-Key``. If ``server`` is true, it is a server-side key."""

    server: bool = False

    @property
    def description(self) -> str:
        return f"anyone with a {'server-side ' if self.server else ''}key of the environment"

    def permits(self, actor: Any, view: Any) -> bool:
        return isinstance(actor, SDKClient) and (actor.server_side or not self.server)


class OFREPKey(SDKKey):
    """A caller with an environment key in OFREP's headers."""

    description = "anyone with a key of the environment, in X-API-Key or Authorization: Bearer"


@dataclass(frozen=True)
class Secret(Rule):
    """A caller with the secret of a setting. It is not a REST framework view and checks the secret itself."""

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
class Lookup(Rule):
    """For a view that looks up its object among those for which the caller has ``needs``: any other object is a 404.

    The path or the body names the object itself, so there is no scope to check before the lookup. If ``user`` is true,
    a master API key is denied.
    """

    needs: Rule
    user: bool = False

    @property
    def description(self) -> str:
        return f"{self.needs.description} of the requested object; other callers get a 404"

    def permits(self, actor: Any, view: Any) -> bool:
        return SignedIn(self.user).permits(actor, view)


@dataclass(frozen=True)
class ByTarget(Rule):
    """A rule that depends on the object of the call.

    ``special`` applies to a feature with multivariate options and to a segment override, ``otherwise`` to others.
    """

    special: Rule
    otherwise: Rule


class CreatesProject(Has):
    @property
    def description(self) -> str:
        return f"{super().description}, or an admin of it if only admins may create projects"

    def _holds(self, actor: Actor, scope: Any) -> bool:
        return may_create_project(actor, scope)


class ManagesGroup(Lookup):
    """The view looks up the group in ``organisations.access.manageable_groups``."""

    description = "MANAGE_USER_GROUPS in the organisation, or an admin of the group; other callers get a 404"

    def permits(self, actor: Any, view: Any) -> bool:
        return ORGANISATION_MEMBER.permits(actor, view)


class AdministersScope(Has):
    """An admin of the environment or organisation that the body names. The rule's data is that for an environment."""

    description = "an admin of the environment or the organisation that the body names"

    def permits(self, actor: Any, view: Any) -> bool:
        if actor is None:
            return False
        level: Level = "environment" if view.validated_data["scope"]["type"] == "environment" else "organisation"
        return Has(level, ADMIN).permits(actor, view)


class CreatesFeature(ByTarget):
    """The serializer applies ``special``, since it reads the options."""

    description = "CREATE_FEATURE in the project; with multivariate options, an admin of the project"

    def permits(self, actor: Any, view: Any) -> bool:
        return self.otherwise.permits(actor, view)


class WritesFeatureState(ByTarget):
    description = "MANAGE_SEGMENT_OVERRIDES in the environment for a segment's override, otherwise UPDATE_FEATURE_STATE"

    def permits(self, actor: Any, view: Any) -> bool:
        return actor is not None and Has("environment", view.permission).permits(actor, view)


class WritesFlag(ByTarget):
    description = (
        "UPDATE_FEATURE_STATE in the environment for the environment's default, "
        "MANAGE_SEGMENT_OVERRIDES for segment overrides"
    )

    def permits(self, actor: Any, view: Any) -> bool:
        return actor is not None and all(Has("environment", key).permits(actor, view) for key in view.permissions)


ANYONE = Anyone()
ACTOR = SignedIn()
NOT_AVAILABLE = NotAvailable()
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
OFREP_KEY = OFREPKey()
PUBLISHER = Secret("SSE_AUTHENTICATION_TOKEN")
SCRAPER = Secret("REALTIME_METRICS_TOKEN")

# ``project("VIEW_PROJECT")``: the rule for a permission in the view's project.
organisation = partial(Has, "organisation")
project = partial(Has, "project")
environment = partial(Has, "environment")
