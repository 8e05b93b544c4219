"""Sizes of tests that try samples of many cases: small in ``scripts/test``, full in ``scripts/test --all``."""

import os

ALL_CASES = os.environ.get("TEST_ALL") == "true"


def size(variable: str, *, some: int, many: int) -> int:
    """The number of cases: what the environment variable says, otherwise one of the two defaults."""
    return int(os.environ.get(variable) or (many if ALL_CASES else some))
