"""The ``identity`` filter of the list of segments."""

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from segments.models import Condition
from tests.segments.conftest import condition, tree
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


@pytest.fixture
def identity(environment: Environment) -> Identity:
    identity = Identity.objects.create(environment=environment, identifier="u1")
    for key, value in {"plan": "pro", "n": 7, "share": 0.5, "beta": True, "huge": "9" * 400}.items():
        Trait.objects.create(identity=identity, trait_key=key, trait_value=value)
    return identity


def names(client: APIClient, path: str, identity: Identity) -> list[str]:
    answer = client.get(path, {"identity": identity.pk})
    assert answer.status_code == 200
    return [each["name"] for each in answer.json()["results"]]


def test_list__identity__segments_that_match_its_traits(admin: APIClient, path: str, identity: Identity) -> None:
    for name, rules in {
        "pro": tree(condition()),
        "free": tree(condition(value="free")),
        "odd": tree(condition("MODULO", "n", "2|1")),
        "in": tree(condition("IN", "plan", "free,pro")),
        "named": tree(condition("EQUAL", "$.identity.identifier", "u1")),
        "here": tree(condition("EQUAL", "$.environment.name", "Development")),
        "everybody": tree(condition("PERCENTAGE_SPLIT", None, "100")),
        "nobody": tree(condition("PERCENTAGE_SPLIT", None, "0")),
        "not pro": [{"type": "NONE", "conditions": [condition()]}],
        "cannot be divided": tree(condition("MODULO", "huge", "2|1")),
    }.items():
        assert admin.post(path, {"name": name, "rules": rules}, format="json").status_code == 201
    assert names(admin, path, identity) == ["pro", "odd", "in", "named", "here", "everybody"]


@pytest.mark.parametrize("operator", Condition.Operator.values)
def test_list__identity_and_any_stored_condition__evaluates(
    admin: APIClient, path: str, identity: Identity, operator: str
) -> None:
    properties = [None, "plan", "n", "share", "beta", "huge", "$.identity.key", "$..*"]
    values = ["", "pro", "7", "2|1", "0|1", "[1, 2]", "[", "nan", "1e999", "1.2.3:semver", "True"]
    conditions = [condition(operator, prop, value) for prop in properties for value in values]
    conditions += [{"operator": operator, "property": prop} for prop in properties]
    answer = admin.post(path, {"name": "s", "rules": tree(*conditions)}, format="json")
    if answer.status_code == 400:
        errors = answer.json()["rules"][0]["rules"][0]["conditions"]
        conditions = [each for each, error in zip(conditions, errors, strict=True) if not error]
        answer = admin.post(path, {"name": "s", "rules": tree(*conditions)}, format="json")
    assert answer.status_code == 201
    assert len(conditions) >= 80
    assert admin.get(path, {"identity": identity.pk}).status_code == 200


@pytest.mark.parametrize("pk", [0, 999, 10**30])
def test_list__unknown_identity__404(admin: APIClient, path: str, pk: int) -> None:
    answer = admin.get(path, {"identity": pk})
    assert (answer.status_code, answer.json()) == (404, {"detail": "No Identity matches the given query."})


def test_list__identity_of_another_project_or_not_visible__404(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, path: str, organisation: Organisation,
    identity: Identity,
) -> None:  # fmt: skip
    other_project = Project.objects.create(name="Other", organisation=organisation)
    identity_in_other_project = Identity.objects.create(
        environment=Environment.objects.create(name="Development", project=other_project), identifier="u1"
    )
    assert admin.get(path, {"identity": identity_in_other_project.pk}).status_code == 404
    permission = UserProjectPermission.objects.create(user=member_user, project=identity.environment.project)
    permission.permissions.set(["VIEW_PROJECT"])
    assert member.get(path).status_code == 200
    assert member.get(path, {"identity": identity.pk}).status_code == 404
