"""Creates many tenants at once, and the people who belong to all of them, by bulk inserts."""

from typing import Any

from rest_framework.authtoken.models import Token

from environments.models import Environment, EnvironmentAPIKey
from organisations.models import Organisation, OrganisationRole, Subscription, UserOrganisation
from projects.models import Project
from users.models import FFAdminUser

ROLES = {"admin": OrganisationRole.ADMIN, "approver": OrganisationRole.ADMIN, "member": OrganisationRole.USER}
"""The people by name. They have no passwords, since hashing takes long."""

ENVIRONMENTS = ("Development", "Production")


def tenants(number: int) -> dict[str, Any]:
    """Create tenants with real time enabled. Primary keys and tokens of the people, by name, and the tenants."""
    people = {name: FFAdminUser.objects.create_user(f"{name}@example.org", first_name=name) for name in ROLES}
    organisations = Organisation.objects.bulk_create(Organisation(name="Acme") for _ in range(number))
    Subscription.objects.bulk_create(Subscription(organisation=organisation) for organisation in organisations)
    UserOrganisation.objects.bulk_create(
        UserOrganisation(user=people[name], organisation=organisation, role=role)
        for organisation in organisations
        for name, role in ROLES.items()
    )
    projects = Project.objects.bulk_create(
        Project(name="Web", organisation=organisation, enable_realtime_updates=True) for organisation in organisations
    )
    return {
        "people": {
            name: {"pk": person.pk, "token": Token.objects.create(user=person).key} for name, person in people.items()
        },
        "tenants": [
            {"organisation": project.organisation_id, "project": project.pk, "environments": environments}
            for project, environments in zip(projects, _environments(projects), strict=True)
        ],
    }


def _environments(projects: list[Project]) -> list[list[dict[str, Any]]]:
    """The environments of each project, with a server-side key each."""
    rows = Environment.objects.bulk_create(
        Environment(name=name, project=project) for project in projects for name in ENVIRONMENTS
    )
    keys = EnvironmentAPIKey.objects.bulk_create(EnvironmentAPIKey(environment=row, name="tests") for row in rows)
    described = [
        {"pk": row.pk, "name": row.name, "api_key": row.api_key, "server_key": key.key}
        for row, key in zip(rows, keys, strict=True)
    ]
    size = len(ENVIRONMENTS)
    return [described[start : start + size] for start in range(0, len(described), size)]
