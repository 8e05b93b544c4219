"""Prepared queries return the same rows as newly compiled queries: by one key, by several, and as subqueries."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from environments.identities.traits.models import TraitValue
from environments.models import Environment, EnvironmentAPIKey
from organisations.models import Organisation
from projects.models import Project
from realtime import hosts
from realtime.prepared import PreparedSubquery
from realtime.types import EnvironmentKey
from sdk import authentication, identify

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_states__one_key_or_several__same_states(
    environment: Environment, project: Project, settings: Any, django_assert_num_queries: Any
) -> None:
    key, other = EnvironmentKey(environment.api_key), EnvironmentKey(project.environments.create(name="other").api_key)
    for is_open in (True, False):
        Project.objects.filter(pk=project.pk).update(enable_realtime_updates=is_open)
        Environment.objects.filter(pk=environment.pk).update(updated_at=timezone.now())
        with django_assert_num_queries(3):
            both = hosts.current().states([key, other])
            assert {**hosts.current().states([key]), **hosts.current().states([other])} == both
        assert [state.streaming_enabled for state in both.values()] == [is_open, is_open]
    # The changed settings require a different query under the same name.
    settings.REALTIME_GATE_FIELD = "allow_client_traits"
    assert hosts.current().states([key])[key].streaming_enabled
    settings.REALTIME_PLANS = ("none",)
    assert not hosts.current().states([key])[key].streaming_enabled


def test_clients__one_key_or_several__same_clients(environment: Environment, django_assert_num_queries: Any) -> None:
    public = environment.api_key
    now = timezone.now()
    secrets = [
        EnvironmentAPIKey.objects.create(environment=environment, name="a", expires_at=when, active=active).key
        for when, active in [
            (None, True),
            (now + timedelta(days=1), True),
            (now - timedelta(seconds=1), True),
            (None, False),
        ]
    ]
    keys = [public, *secrets, "unknown", "ser.unknown", "\0"]
    with django_assert_num_queries(2):
        together = authentication.clients_by_key(keys)
    with django_assert_num_queries(len(keys) - 1):
        separately = [client for key in keys for client in authentication.clients_by_key([key]).items()]
    assert list(together.items()) == separately
    assert list(together) == [public, *secrets[:2]]
    assert [client.server_side for client in together.values()] == [False, True, True]


def test_identities__any_number__same_as_separately(
    environment: Environment, production: Environment, django_assert_num_queries: Any
) -> None:
    values: dict[str, TraitValue] = {"text": "ü", "number": -5, "share": 0.25, "yes": True, "no": False}
    names = [f"person-{number}" for number in range(5)]
    identify.store(environment.pk, {name: dict(list(values.items())[:number]) for number, name in enumerate(names, 1)})
    identify.store(production.pk, {names[0]: {"text": "another environment's"}})
    separately = {}
    for name in [*names, "unknown"]:
        with django_assert_num_queries(1):
            separately |= identify.read(environment.pk, [name])
    assert separately["person-4"].trait_values == values
    assert [type(value) for value in separately["person-4"].trait_values.values()] == [str, int, float, bool, bool]
    assert separately["unknown"].id is None
    assert identify.read(environment.pk, []) == {}
    for number in range(1, 7):
        chosen = [*names, "unknown"][:number]
        with django_assert_num_queries(1):
            together = identify.read(environment.pk, chosen)
        assert together == {name: separately[name] for name in chosen}
    many = [*names, *(f"unknown-{number}" for number in range(identify.MAX_PREPARED_IDENTIFIERS))]
    assert identify.read(environment.pk, many)["person-4"] == separately["person-4"]


def projects_of(organisation: Any, name: str | None) -> QuerySet[Any, Any]:
    projects = Project.objects.filter(organisation=organisation)
    return (projects.filter(name__contains=name) if name else projects).values("pk")


def environments_of(organisation: Any, name: str) -> QuerySet[Any, Any]:
    """A prepared subquery inside a prepared subquery."""
    mine = Environment.objects.filter(project__in=PreparedSubquery(projects_of, organisation, None))
    return mine.filter(name=name, project__organisation=organisation).values("pk")


@pytest.fixture
def organisations(db: None) -> list[Organisation]:
    made = [Organisation.objects.create(name=name) for name in ("One", "Two")]
    for organisation in made:
        for project in ("50 % off", "Web"):
            in_project = Project.objects.create(name=project, organisation=organisation)
            for environment in ("Development", "Production"):
                Environment.objects.create(name=environment, project=in_project)
    return made


@pytest.mark.parametrize("name", [None, "%", "Web", "' OR 1=1 --"])
def test_subquery__each_value_and_constant__same_rows_as_the_query(
    name: str | None, organisations: list[Organisation]
) -> None:
    for organisation in (*organisations, *organisations):
        prepared = Project.objects.filter(pk__in=PreparedSubquery(projects_of, organisation.pk, name))
        itself = Project.objects.filter(pk__in=projects_of(organisation.pk, name))
        assert set(prepared) == set(itself)
        assert set(Project.objects.exclude(pk__in=prepared)) == set(Project.objects.exclude(pk__in=itself))


def test_subquery__ordered_model__no_order_by(organisations: list[Organisation]) -> None:
    assert Project._meta.ordering
    found = Project.objects.filter(pk__in=PreparedSubquery(projects_of, organisations[0].pk, None)).order_by()
    assert "ORDER BY" not in str(found.query)


def test_subquery__value_not_used__raises(organisations: list[Organisation]) -> None:
    with pytest.raises(ValueError, match="all_projects does not use its value"):
        list(Project.objects.filter(pk__in=PreparedSubquery(all_projects, organisations[0].pk)))


def all_projects(organisation: Any) -> QuerySet[Any, Any]:
    return Project.objects.values("pk")


def test_subquery__value_none__no_rows(organisations: list[Organisation]) -> None:
    assert not Project.objects.filter(pk__in=PreparedSubquery(projects_of, None, None)).exists()


def test_subquery__nested__same_value(organisations: list[Organisation]) -> None:
    one, two = organisations
    found = Environment.objects.filter(pk__in=PreparedSubquery(environments_of, one.pk, "Production"))
    assert {environment.project.organisation_id for environment in found} == {one.pk}
    assert len(found) == 2
    assert not found.filter(project__in=PreparedSubquery(projects_of, two.pk, None)).exists()
