"""The callers of the permission matrix: one for each kind of credentials and for many sets of permissions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Literal

from django.utils import timezone
from rest_framework.authtoken.models import Token

from api_keys.models import MasterAPIKey
from environments.models import (
    Environment,
    EnvironmentAPIKey,
    UserEnvironmentPermission,
    UserPermissionGroupEnvironmentPermission,
)
from organisations.models import (
    Organisation,
    OrganisationRole,
    Subscription,
    UserOrganisation,
    UserOrganisationPermission,
)
from organisations.permissions import catalogue
from permissions.rule import ADMIN, MEMBER
from projects.models import Project, UserPermissionGroupProjectPermission, UserProjectPermission
from users.models import FFAdminUser, UserPermissionGroup

Kind = Literal["anonymous", "user", "master key", "environment key", "server key"]

# The levels below an organisation.
BELOW_ORGANISATION = frozenset({"project", "environment"})


@dataclass(frozen=True)
class Caller:
    """A caller with its headers, and its permissions in the matrix's organisation, project and environment."""

    name: str
    kind: Kind
    headers: dict[str, str]
    organisation: frozenset[str] = field(default_factory=frozenset)
    project: frozenset[str] = field(default_factory=frozenset)
    environment: frozenset[str] = field(default_factory=frozenset)
    relevant_to: frozenset[str] = field(default_factory=frozenset)
    """The caller is tested with rules that name one of these permissions or levels; empty: with all rules."""

    def __str__(self) -> str:
        return self.name


class CallerFactory:
    """Creates the callers."""

    def __init__(self, organisation: Organisation, project: Project, environment: Environment) -> None:
        self.organisation = organisation
        self.project = project
        self.environment = environment
        self.numbers = count()

    def all(self) -> list[Caller]:
        return [*self.without_credentials(), *self.keys(), *self.non_members(), *self.members()]

    def without_credentials(self) -> Iterator[Caller]:
        yield Caller("anonymous", "anonymous", {})
        yield Caller("wrong token", "anonymous", {"Authorization": f"Token {'0' * 40}"})
        yield Caller("revoked master key", "anonymous", self.master_key(revoked=True))
        expired_key = self.master_key(expiry_date=timezone.now() - timedelta(days=1))
        yield Caller("expired master key", "anonymous", expired_key)
        inactive = self.user("inactive@example.com", OrganisationRole.ADMIN)
        FFAdminUser.objects.filter(pk=inactive.pk).update(is_active=False)
        yield Caller("inactive admin of the organisation", "anonymous", token(inactive))

    def keys(self) -> Iterator[Caller]:
        yield Caller("environment key", "environment key", {"X-Environment-Key": self.environment.api_key})
        server_key = EnvironmentAPIKey.objects.create(environment=self.environment, name="matrix")
        yield Caller("server key", "server key", {"X-Environment-Key": server_key.key})
        yield Caller("master key", "master key", self.master_key(), organisation=frozenset({ADMIN}))

    def non_members(self) -> Iterator[Caller]:
        other = Organisation.objects.create(name="Elsewhere")
        Subscription.objects.create(organisation=other)
        other_admin = FFAdminUser.objects.create_user(
            "elsewhere@example.com", "pa55-word-1", first_name="S", last_name="S"
        )
        UserOrganisation.objects.create(user=other_admin, organisation=other, role=OrganisationRole.ADMIN)
        yield Caller("admin of another organisation", "user", token(other_admin))
        # Permissions without a membership have no effect.
        former = FFAdminUser.objects.create_user("left@example.com", "pa55-word-1", first_name="L", last_name="L")
        UserProjectPermission.objects.create(user=former, project=self.project, admin=True)
        UserEnvironmentPermission.objects.create(user=former, environment=self.environment, admin=True)
        yield Caller("former member, with permissions in the project and the environment", "user", token(former))

    def members(self) -> Iterator[Caller]:
        yield self.member("member without permissions")
        yield from self.with_one_permission()
        yield from self.with_all_permissions_but_one()
        yield self.member(
            "admin of the environment, without VIEW_PROJECT", environment=[ADMIN], relevant_to=BELOW_ORGANISATION
        )
        yield self.member(
            "environment admin", project=["VIEW_PROJECT"], environment=[ADMIN], relevant_to=BELOW_ORGANISATION
        )
        yield self.member("project admin", project=[ADMIN])
        yield self.admin_of_others()
        yield self.group_member("in a group that is project admin", project=[ADMIN], relevant_to=BELOW_ORGANISATION)
        admin = self.user("admin@matrix.example", OrganisationRole.ADMIN)
        yield Caller("organisation admin", "user", token(admin), organisation=frozenset({MEMBER, ADMIN}))

    def with_one_permission(self) -> Iterator[Caller]:
        """Callers with one permission each, and those that are needed to see its project or environment."""
        for key in catalogue.ORGANISATION:
            yield self.member(f"only {key}", organisation=[key], relevant_to={key})
        for key in catalogue.PROJECT:
            yield self.member(f"VIEW_PROJECT and {key}", project={"VIEW_PROJECT", key}, relevant_to={key})
        for key in catalogue.ENVIRONMENT:
            yield self.member(
                f"VIEW_PROJECT, VIEW_ENVIRONMENT and {key}",
                project=["VIEW_PROJECT"],
                environment={"VIEW_ENVIRONMENT", key},
                relevant_to={key},
            )
        yield self.group_member(
            "in a group with VIEW_PROJECT and CREATE_FEATURE",
            project=["VIEW_PROJECT", "CREATE_FEATURE"],
            relevant_to={"CREATE_FEATURE"},
        )
        yield self.group_member(
            "in a group with VIEW_PROJECT, VIEW_ENVIRONMENT and UPDATE_FEATURE_STATE",
            project=["VIEW_PROJECT"],
            environment=["VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE"],
            relevant_to={"UPDATE_FEATURE_STATE"},
        )

    def with_all_permissions_but_one(self) -> Iterator[Caller]:
        """Callers without one permission each. If one is denied, so is every caller with fewer permissions."""
        keys = {*catalogue.ORGANISATION, *catalogue.PROJECT, *catalogue.ENVIRONMENT}
        for missing in (*sorted(keys), ADMIN):
            yield self.member(
                f"all permissions but {missing}",
                set(catalogue.ORGANISATION) - {missing},
                set(catalogue.PROJECT) - {missing},
                set(catalogue.ENVIRONMENT) - {missing},
                # Without one of these two, the caller sees nothing below it.
                relevant_to=BELOW_ORGANISATION if missing in ("VIEW_PROJECT", "VIEW_ENVIRONMENT") else {missing},
            )

    def member(
        self,
        name: str,
        organisation: Iterable[str] = (),
        project: Iterable[str] = (),
        environment: Iterable[str] = (),
        relevant_to: Iterable[str] = (),
    ) -> Caller:
        user = self.user(f"{next(self.numbers)}@matrix.example", OrganisationRole.USER)
        self.grant(UserOrganisationPermission, {"user": user, "organisation": self.organisation}, organisation)
        self.grant(UserProjectPermission, {"user": user, "project": self.project}, project)
        self.grant(UserEnvironmentPermission, {"user": user, "environment": self.environment}, environment)
        permissions = frozenset({MEMBER, *organisation}), frozenset(project), frozenset(environment)
        return Caller(name, "user", token(user), *permissions, relevant_to=frozenset(relevant_to))

    def admin_of_others(self) -> Caller:
        """An admin of another project of the same organisation, and of another environment of the same project."""
        user = self.user("next-door@matrix.example", OrganisationRole.USER)
        other_project = Project.objects.create(name="Next door", organisation=self.organisation)
        other_environment = Environment.objects.create(name="Next door", project=self.project)
        self.grant(UserProjectPermission, {"user": user, "project": other_project}, [ADMIN])
        self.grant(UserProjectPermission, {"user": user, "project": self.project}, ["VIEW_PROJECT"])
        self.grant(UserEnvironmentPermission, {"user": user, "environment": other_environment}, [ADMIN])
        name = "VIEW_PROJECT, and admin of another project and of another environment"
        permissions = frozenset({MEMBER}), frozenset({"VIEW_PROJECT"})
        return Caller(name, "user", token(user), *permissions, relevant_to=BELOW_ORGANISATION)

    def group_member(
        self, name: str, project: Iterable[str], environment: Iterable[str] = (), relevant_to: Iterable[str] = ()
    ) -> Caller:
        """A member who has only the permissions of a group."""
        user = self.user(f"{next(self.numbers)}@matrix.example", OrganisationRole.USER)
        group = UserPermissionGroup.objects.create(name=name, organisation=self.organisation)
        group.users.add(user)
        self.grant(UserPermissionGroupProjectPermission, {"group": group, "project": self.project}, project)
        fields = {"group": group, "environment": self.environment}
        self.grant(UserPermissionGroupEnvironmentPermission, fields, environment)
        permissions = frozenset({MEMBER}), frozenset(project), frozenset(environment)
        return Caller(name, "user", token(user), *permissions, relevant_to=frozenset(relevant_to))

    def user(self, email: str, role: str) -> FFAdminUser:
        user = FFAdminUser.objects.create_user(email, "pa55-word-1", first_name="P", last_name="P")
        UserOrganisation.objects.create(user=user, organisation=self.organisation, role=role)
        return user

    def grant(self, model: Any, fields: dict[str, Any], permissions: Iterable[str]) -> None:
        if not list(permissions):
            return
        row = model.objects.create(**fields, **({"admin": True} if ADMIN in permissions else {}))
        row.permissions.set([key for key in permissions if key != ADMIN])

    def master_key(self, **fields: Any) -> dict[str, str]:
        _, key = MasterAPIKey.objects.create_key(name="matrix", organisation=self.organisation, **fields)
        return {"Authorization": f"Api-Key {key}"}


def token(user: FFAdminUser) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.create(user=user).key}"}
