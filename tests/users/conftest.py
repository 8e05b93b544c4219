from collections.abc import Iterator

import pytest
from django.core.cache import cache

from users import throttles


@pytest.fixture(autouse=True)
def uncounted_logins() -> Iterator[None]:
    """Throttles do not count log-ins of other tests."""
    cache.clear()
    throttles._local_cache.clear()
    yield
    cache.clear()
