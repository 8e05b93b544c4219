"""What an embedding project imports from ``realtime`` itself."""

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


def test_front_door__each_public_name__is_imported_when_it_is_used() -> None:
    assert all(getattr(realtime, name) is not None for name in realtime.__all__)
    with pytest.raises(AttributeError, match="no attribute 'announced'"):
        realtime.announced  # noqa: B018


def test_front_door__package_alone__imports_nothing_of_django() -> None:
    command = [sys.executable, "-c", IMPORT]
    done = subprocess.run(command, cwd=programs.ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
