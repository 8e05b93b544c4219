"""Many tenants at once, and the people who act in all of them, written in bulk: what the API would write singly."""

from typing import Any

from rest_framework.authtoken.models import Token

from environments.models import Environment, EnvironmentAPIKey
from organisations.models import Organisation, OrganisationRole, Subscription, UserOrganisation
from projects.models import Project
from users.models import FFAdminUser

PEOPLE = {"admin": OrganisationRole.ADMIN, "approver": OrganisationRole.ADMIN, "member": OrganisationRole.USER}
"""Who is in each organisation, and as what. Nobody has a password, since hashing one takes long."""

ENVIRONMENTS = ("Development", "Production")


def tenants(number: int) -> dict[str, Any]:
    """Write them, real time on, and say what they are: ``people`` by name, and the ``tenants``."""
    people = {name: FFAdminUser.objects.create_user(f"{name}@example.org", first_name=name) for name in PEOPLE}
    organisations = Organisation.objects.bulk_create(Organisation(name="Acme") for _ in range(number))
    Subscription.objects.bulk_create(Subscription(organisation=each) for each in organisations)
    UserOrganisation.objects.bulk_create(
        UserOrganisation(user=people[name], organisation=each, role=role)
        for each in organisations
        for name, role in PEOPLE.items()
    )
    projects = Project.objects.bulk_create(
        Project(name="Web", organisation=each, enable_realtime_updates=True) for each in organisations
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
    """Each project's, with a server key each."""
    rows = Environment.objects.bulk_create(
        Environment(name=name, project=each) for each in projects for name in ENVIRONMENTS
    )
    keys = EnvironmentAPIKey.objects.bulk_create(EnvironmentAPIKey(environment=each, name="tests") for each in rows)
    described = [
        {"pk": row.pk, "name": row.name, "api_key": row.api_key, "server_key": key.key}
        for row, key in zip(rows, keys, strict=True)
    ]
    size = len(ENVIRONMENTS)
    return [described[start : start + size] for start in range(0, len(described), size)]
