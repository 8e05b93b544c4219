"""Fixtures for all tests: a tenant with a project and two environments, its clients, and servers.

Tests that use the tenant need ``pytest.mark.django_db``. A server has a database of its own and needs no mark.
"""

import logging
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from coverage import Coverage, CoverageData
from coverage.exceptions import CoverageException
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from pytest_django import DjangoDbBlocker
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from environments.models import Environment
from features.defaults import create_default_states
from features.models import Feature, FeatureState
from organisations.models import Organisation, OrganisationRole, Subscription, UserOrganisation
from projects.models import Project
from realtime import runtime
from segments.models import Condition, Segment, SegmentRule
from tests.operations.world import WorldInProcess
from tests.support.own_database import own_database
from tests.support.postgresql import PostgreSQL
from tests.support.programs import ProgramMissingError
from tests.support.redis import Redis
from tests.support.server import (
    Flavour,
    MigratedPostgreSQL,
    MigratedSQLite,
    ServerProcess,
    migrated_cluster,
    migrated_postgresql,
    migrated_sqlite,
)
from tests.support.together import Together
from users.models import FFAdminUser

# The duration of an example depends on how busy the machine is. All else is Hypothesis' default.
examples.register_profile(
    "any machine", parent=examples.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# For tests/mutations, which only asks whether a test fails.
examples.register_profile(
    "without shrinking", parent=examples.get_profile("any machine"), phases=set(Phase) - {Phase.shrink, Phase.explain}
)
examples.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, Any, Any]:
    """Skip a test whose program is missing; under continuous integration, let it fail."""
    try:
        return (yield)
    except ProgramMissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


# Who asks for one of these waits for servers.
STARTS = {"sqlite_template", "postgresql", "server", "start_server", "database", "host", "fresh"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no process is left with it at the end: also what may take longer than
    tests may.
    """
    items.sort(
        key=lambda item: (
            STARTS.isdisjoint(getattr(item, "fixturenames", ())) and item.get_closest_marker("timeout") is None
        )
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


TESTS = Path(__file__).parent

# Folders and files whose tests reach every line of what is measured. To measure all would double what the others take.
MEASURED = {
    "realtime",
    "bus",
    "ofrep",
    "metrics",
    "wire",
    "hostapp",
    "detached",
    "inspector",
    "settings",
    "environment_documents",
    "relay",
} | {
    "identities",
    "segments",
    "sdk/test_conditional_document.py",
    "sdk/test_patterns.py",
    "dashboard/test_window_streams.py",
    "multivariate",
    "organisations",
    "audit",
    "deploy/test_silent_postgresql.py",
    "scripts/test_command_line.py",
}
MEASURES_CHILDREN = "COVERAGE_PROCESS_CONFIG"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Measure coverage in these tests, and in the servers that they start."""
    coverage = Coverage.current()
    path = item.path.relative_to(TESTS)
    if coverage is None or not MEASURED.isdisjoint((path.parts[0], str(path))):
        return (yield)
    coverage.stop()
    children = os.environ.pop(MEASURES_CHILDREN, None)
    try:
        return (yield)
    finally:
        if children is not None:
            os.environ[MEASURES_CHILDREN] = children
        coverage.start()
        # A thread that lived while nothing was measured never is again, and asgiref keeps one for all tests.
        SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, Any, Any]:
    """Leave what a server that was killed had only begun to write out of what pytest-cov combines after this."""
    result = yield
    if session.config.getoption("cov_source", None) and not hasattr(session.config, "workerinput"):
        for path in session.config.rootpath.glob(".coverage.*"):
            try:
                CoverageData(str(path), read_only=True).read()
            except CoverageException:
                path.unlink()
    return result


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Replaces pytest-django's fixture, which migrates a database for each process."""
    with ExitStack() as stack:
        with django_db_blocker.unblock():
            stack.enter_context(own_database())
        yield
        with django_db_blocker.unblock():
            stack.close()


@pytest.fixture
async def closed_runtime() -> AsyncIterator[None]:
    """Closes the event loop's runtime at the end of the test."""
    yield
    await runtime.current().close()


@pytest.fixture
def quiet() -> Iterator[None]:
    """No log lines of warnings, for tests with thousands of refused calls."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A private PostgreSQL. A test that stops it has to start it again."""
    with migrated_cluster() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A private Redis. A test that stops it has to start it again."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template() -> MigratedSQLite:
    return migrated_sqlite()


@pytest.fixture(scope="session")
def postgresql_template(postgresql: PostgreSQL) -> MigratedPostgreSQL:
    return migrated_postgresql(postgresql)


@pytest.fixture
def start_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """A function that starts a server on a new database: ``start_server("daphne", "postgresql")``.

    Keywords are environment variables of the server, which is stopped at the end of the test.
    """
    with ExitStack() as servers:

        def start(flavour: Flavour = "uvicorn", database: str = "sqlite", **variables: str) -> ServerProcess:
            template = request.getfixturevalue(f"{database}_template")
            copy = template.copy(tmp_path / f"server-{len(started)}")
            started.append(servers.enter_context(ServerProcess(copy | variables, flavour=flavour)))
            return started[-1]

        started: list[ServerProcess] = []
        yield start


def signed_in(user: FFAdminUser) -> APIClient:
    """A client with the user's token."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


def make_organisation(name: str, admin: FFAdminUser) -> Organisation:
    organisation = Organisation.objects.create(name=name)
    Subscription.objects.create(organisation=organisation)
    UserOrganisation.objects.create(user=admin, organisation=organisation, role=OrganisationRole.ADMIN)
    return organisation


@pytest.fixture
def anonymous() -> APIClient:
    """A client without credentials."""
    return APIClient()


@pytest.fixture
def user(db: None) -> FFAdminUser:
    """The admin of ``organisation``."""
    return FFAdminUser.objects.create_user("admin@example.com", "pa55-word-1", first_name="Ada", last_name="Admin")


@pytest.fixture
def organisation(user: FFAdminUser) -> Organisation:
    return make_organisation("Acme", user)


@pytest.fixture
def admin(user: FFAdminUser, organisation: Organisation) -> APIClient:
    """Signed in as the admin of ``organisation``."""
    return signed_in(user)


@pytest.fixture
def member_user(organisation: Organisation) -> FFAdminUser:
    """A member of ``organisation`` without any permission there."""
    member = FFAdminUser.objects.create_user("member@example.com", "pa55-word-1", first_name="Max", last_name="Member")
    UserOrganisation.objects.create(user=member, organisation=organisation, role=OrganisationRole.USER)
    return member


@pytest.fixture
def member(member_user: FFAdminUser) -> APIClient:
    return signed_in(member_user)


@pytest.fixture
def outsider(db: None) -> APIClient:
    """Signed in as the admin of another organisation, who sees nothing of ``organisation``."""
    stranger = FFAdminUser.objects.create_user(
        "stranger@example.com", "pa55-word-1", first_name="Sam", last_name="Stranger"
    )
    make_organisation("Strangers", stranger)
    return signed_in(stranger)


@pytest.fixture
def project(organisation: Organisation) -> Project:
    """A project with real time enabled."""
    return Project.objects.create(name="Web", organisation=organisation, enable_realtime_updates=True)


@pytest.fixture
def environment(project: Project) -> Environment:
    return Environment.objects.create(name="Development", project=project)


@pytest.fixture
def production(project: Project) -> Environment:
    """A second environment of the same project."""
    return Environment.objects.create(name="Production", project=project)


@pytest.fixture
def world(
    user: FFAdminUser,
    admin: APIClient,
    organisation: Organisation,
    project: Project,
    environment: Environment,
    production: Environment,
) -> WorldInProcess:
    """The tenant with objects of every kind, each of which is created when it is first used."""
    return WorldInProcess(user, admin, organisation, project, environment, production)


@pytest.fixture
def make_feature(project: Project) -> Callable[..., Feature]:
    """A function that creates a feature of ``project``, with a default in each existing environment."""

    def make(name: str = "banner", **fields: object) -> Feature:
        feature = Feature.objects.create(name=name, project=project, **fields)
        create_default_states([feature], project.environments.select_related("project"))
        return feature

    return make


@pytest.fixture
def feature(environment: Environment, make_feature: Callable[..., Feature]) -> Feature:
    """A feature that is off and has no value; ``state`` is its default in ``environment``."""
    return make_feature()


@pytest.fixture
def state(environment: Environment, feature: Feature) -> FeatureState:
    return FeatureState.objects.get(environment=environment, feature=feature, identity=None, feature_segment=None)


@pytest.fixture
def segment(project: Project) -> Segment:
    """The identities whose trait ``plan`` is ``pro``."""
    segment = Segment.objects.create(name="professionals", project=project)
    outer = SegmentRule.objects.create(segment=segment, type=SegmentRule.Type.ALL)
    inner = SegmentRule.objects.create(rule=outer, type=SegmentRule.Type.ANY)
    Condition.objects.create(rule=inner, operator=Condition.Operator.EQUAL, property="plan", value="pro")
    return segment
