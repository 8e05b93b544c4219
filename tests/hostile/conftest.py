from collections.abc import Iterator

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from tests.hostile.whole_world import WholeWorld, make_world


@pytest.fixture(scope="module")
def whole_world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[WholeWorld]:
    """A world for all tests of a module, created outside of their transactions. ``tests/support/together.py`` keeps the
    module in one process.
    """
    from tests.hostile.test_routes import ROUTES

    with django_db_blocker.unblock():
        made = make_world("admin", ROUTES)
    yield made
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)
