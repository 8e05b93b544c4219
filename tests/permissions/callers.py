"""Everybody who may knock at the API's door, and what each of them holds."""

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

Kind = Literal["nobody", "user", "master key", "environment key", "server key"]

# Rules about what is below an organisation.
BELOW = frozenset({"project", "environment"})


@dataclass(frozen=True)
class Caller:
    """Who calls, and what they hold in the organisation, the project and the environment that calls are about."""

    name: str
    kind: Kind
    headers: dict[str, str]
    organisation: frozenset[str] = field(default_factory=frozenset)
    project: frozenset[str] = field(default_factory=frozenset)
    environment: frozenset[str] = field(default_factory=frozenset)
    matters_to: frozenset[str] = field(default_factory=frozenset)
    """The permissions or levels that a rule has to name for this caller to be worth a call; empty: any rule."""

    def __str__(self) -> str:
        return self.name


class Callers:
    """Makes them. All users but the stranger belong to the organisation."""

    def __init__(self, organisation: Organisation, project: Project, environment: Environment) -> None:
        self.organisation = organisation
        self.project = project
        self.environment = environment
        self.numbers = count()

    def all(self) -> list[Caller]:
        return [*self.without_credentials(), *self.keys(), *self.strangers(), *self.members()]

    def without_credentials(self) -> Iterator[Caller]:
        yield Caller("nobody", "nobody", {})
        yield Caller("wrong token", "nobody", {"Authorization": f"Token {'0' * 40}"})
        yield Caller("revoked master key", "nobody", self.master_key(revoked=True))
        yield Caller("expired master key", "nobody", self.master_key(expiry_date=timezone.now() - timedelta(days=1)))
        gone = self.person("inactive@example.com", OrganisationRole.ADMIN)
        FFAdminUser.objects.filter(pk=gone.pk).update(is_active=False)
        yield Caller("inactive admin of the organisation", "nobody", token(gone))

    def keys(self) -> Iterator[Caller]:
        yield Caller("environment key", "environment key", {"X-Environment-Key": self.environment.api_key})
        server_key = EnvironmentAPIKey.objects.create(environment=self.environment, name="matrix")
        yield Caller("server key", "server key", {"X-Environment-Key": server_key.key})
        yield Caller("master key", "master key", self.master_key(), organisation=frozenset({ADMIN}))

    def strangers(self) -> Iterator[Caller]:
        other = Organisation.objects.create(name="Elsewhere")
        Subscription.objects.create(organisation=other)
        stranger = FFAdminUser.objects.create_user(
            "elsewhere@example.com", "pa55-word-1", first_name="S", last_name="S"
        )
        UserOrganisation.objects.create(user=stranger, organisation=other, role=OrganisationRole.ADMIN)
        yield Caller("admin of another organisation", "user", token(stranger))
        # What is left of somebody who was a member once must be worth nothing.
        left = FFAdminUser.objects.create_user("left@example.com", "pa55-word-1", first_name="L", last_name="L")
        UserProjectPermission.objects.create(user=left, project=self.project, admin=True)
        UserEnvironmentPermission.objects.create(user=left, environment=self.environment, admin=True)
        yield Caller("no member, with a project's and an environment's rights left over", "user", token(left))

    def members(self) -> Iterator[Caller]:
        yield self.member("member without rights")
        yield from self.with_one_key()
        yield from self.with_all_but_one()
        yield self.member("admin of the environment, without VIEW_PROJECT", environment=[ADMIN], matters_to=BELOW)
        yield self.member("environment admin", project=["VIEW_PROJECT"], environment=[ADMIN], matters_to=BELOW)
        yield self.member("project admin", project=[ADMIN])
        yield self.admin_elsewhere()
        yield self.of_group("in a group that is project admin", project=[ADMIN], matters_to=BELOW)
        admin = self.person("admin@matrix.example", OrganisationRole.ADMIN)
        yield Caller("organisation admin", "user", token(admin), organisation=frozenset({MEMBER, ADMIN}))

    def with_one_key(self) -> Iterator[Caller]:
        """Each permission alone, with what is needed to see the place that it is for."""
        for key in catalogue.ORGANISATION:
            yield self.member(f"{key} alone", organisation=[key], matters_to={key})
        for key in catalogue.PROJECT:
            yield self.member(f"VIEW_PROJECT and {key}", project={"VIEW_PROJECT", key}, matters_to={key})
        for key in catalogue.ENVIRONMENT:
            yield self.member(
                f"VIEW_PROJECT, VIEW_ENVIRONMENT and {key}",
                project=["VIEW_PROJECT"],
                environment={"VIEW_ENVIRONMENT", key},
                matters_to={key},
            )
        yield self.of_group(
            "in a group with VIEW_PROJECT and CREATE_FEATURE",
            project=["VIEW_PROJECT", "CREATE_FEATURE"],
            matters_to={"CREATE_FEATURE"},
        )
        yield self.of_group(
            "in a group with VIEW_PROJECT, VIEW_ENVIRONMENT and UPDATE_FEATURE_STATE",
            project=["VIEW_PROJECT"],
            environment=["VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE"],
            matters_to={"UPDATE_FEATURE_STATE"},
        )

    def with_all_but_one(self) -> Iterator[Caller]:
        """All permissions but one, which says more than each of them alone: who has fewer may do no more."""
        every = {*catalogue.ORGANISATION, *catalogue.PROJECT, *catalogue.ENVIRONMENT}
        for missing in (*sorted(every), ADMIN):
            yield self.member(
                f"all permissions but {missing}",
                set(catalogue.ORGANISATION) - {missing},
                set(catalogue.PROJECT) - {missing},
                set(catalogue.ENVIRONMENT) - {missing},
                # Without these two nothing is seen, whatever a rule asks for.
                matters_to=BELOW if missing in ("VIEW_PROJECT", "VIEW_ENVIRONMENT") else {missing},
            )

    def member(
        self,
        name: str,
        organisation: Iterable[str] = (),
        project: Iterable[str] = (),
        environment: Iterable[str] = (),
        matters_to: Iterable[str] = (),
    ) -> Caller:
        user = self.person(f"{next(self.numbers)}@matrix.example", OrganisationRole.USER)
        self.give(UserOrganisationPermission, {"user": user, "organisation": self.organisation}, organisation)
        self.give(UserProjectPermission, {"user": user, "project": self.project}, project)
        self.give(UserEnvironmentPermission, {"user": user, "environment": self.environment}, environment)
        held = frozenset({MEMBER, *organisation}), frozenset(project), frozenset(environment)
        return Caller(name, "user", token(user), *held, matters_to=frozenset(matters_to))

    def admin_elsewhere(self) -> Caller:
        """An admin of another project of the same organisation, and of another environment of the same project."""
        user = self.person("next-door@matrix.example", OrganisationRole.USER)
        other = Project.objects.create(name="Next door", organisation=self.organisation)
        sibling = Environment.objects.create(name="Next door", project=self.project)
        self.give(UserProjectPermission, {"user": user, "project": other}, [ADMIN])
        self.give(UserProjectPermission, {"user": user, "project": self.project}, ["VIEW_PROJECT"])
        self.give(UserEnvironmentPermission, {"user": user, "environment": sibling}, [ADMIN])
        name = "VIEW_PROJECT, and admin of another project and of another environment"
        held = frozenset({MEMBER}), frozenset({"VIEW_PROJECT"})
        return Caller(name, "user", token(user), *held, matters_to=BELOW)

    def of_group(
        self, name: str, project: Iterable[str], environment: Iterable[str] = (), matters_to: Iterable[str] = ()
    ) -> Caller:
        """A member who has nothing but what is given to the group."""
        user = self.person(f"{next(self.numbers)}@matrix.example", OrganisationRole.USER)
        group = UserPermissionGroup.objects.create(name=name, organisation=self.organisation)
        group.users.add(user)
        self.give(UserPermissionGroupProjectPermission, {"group": group, "project": self.project}, project)
        place = {"group": group, "environment": self.environment}
        self.give(UserPermissionGroupEnvironmentPermission, place, environment)
        held = frozenset({MEMBER}), frozenset(project), frozenset(environment)
        return Caller(name, "user", token(user), *held, matters_to=frozenset(matters_to))

    def person(self, email: str, role: str) -> FFAdminUser:
        user = FFAdminUser.objects.create_user(email, "pa55-word-1", first_name="P", last_name="P")
        UserOrganisation.objects.create(user=user, organisation=self.organisation, role=role)
        return user

    def give(self, model: Any, place: dict[str, Any], held: Iterable[str]) -> None:
        keys = [key for key in held if key != ADMIN]
        if not list(held):
            return
        row = model.objects.create(**place, **({"admin": True} if ADMIN in held else {}))
        row.permissions.set(keys)

    def master_key(self, **fields: Any) -> dict[str, str]:
        _, key = MasterAPIKey.objects.create_key(name="matrix", organisation=self.organisation, **fields)
        return {"Authorization": f"Api-Key {key}"}


def token(user: FFAdminUser) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.create(user=user).key}"}
