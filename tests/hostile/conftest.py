import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project
from tests.hostile.world import WorldInProcess
from users.models import FFAdminUser


@pytest.fixture
def world(
    user: FFAdminUser,
    admin: APIClient,
    organisation: Organisation,
    project: Project,
    environment: Environment,
    production: Environment,
) -> WorldInProcess:
    return WorldInProcess(user, admin, organisation, project, environment, production)
