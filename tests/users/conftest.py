from collections.abc import Iterator

import pytest
from django.core.cache import cache

from users import throttles


@pytest.fixture(autouse=True)
def uncounted_logins() -> Iterator[None]:
    """Log-ins of other tests do not count against a limit, nor these against theirs."""
    cache.clear()
    throttles._local_cache.clear()
    yield
    cache.clear()
