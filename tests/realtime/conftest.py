from collections.abc import Iterator

import pytest

from environments.models import Environment
from tests.support.heard import Heard, listening


@pytest.fixture
def heard(environment: Environment, production: Environment) -> Iterator[Heard]:
    """What is published of the project's two environments, from now on."""
    with listening(environment, production) as heard:
        yield heard
