"""Fixtures of tests that share a relay: one upstream and one relay per module."""

from collections.abc import Iterator

import pytest

from tests.support.upstream import Environment, Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def shop(upstream: Upstream) -> Environment:
    """An environment of the upstream, with the sample document."""
    return upstream.add_environment("shop")
