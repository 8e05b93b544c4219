from collections.abc import Iterator

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def uncounted_logins() -> Iterator[None]:
    """Log-ins of other tests do not count against the limit of a minute, nor these against theirs."""
    cache.clear()
    yield
    cache.clear()
