"""The public API of the package ``realtime``."""

import subprocess
import sys

import pytest

import realtime
from tests.support import programs

IMPORT = """
import sys, realtime
assert {"announce", "Watch"} <= set(dir(realtime))
print("django" in sys.modules)
"""


def test_public_api__each_name__imported_lazily() -> None:
    assert all(getattr(realtime, name) is not None for name in realtime.__all__)
    with pytest.raises(AttributeError, match="no attribute 'announced'"):
        realtime.announced  # noqa: B018


def test_public_api__package_imported__django_is_not() -> None:
    command = [sys.executable, "-c", IMPORT]
    done = subprocess.run(command, cwd=programs.ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
