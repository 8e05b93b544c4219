"""Mutation testing of the core: checks that a test fails for each fault of ``tests.mutations.table``.

    python -m tests.mutations              # each fault: first its own tests, then those of scripts/test until one fails
    python -m tests.mutations --own        # each fault: only its own tests
    python -m tests.mutations NAME...      # these faults
    python -m tests.mutations --all        # for faults that scripts/test does not find: scripts/test --all

Prints a line per fault with the test that found it. Exits with 1 if one was not found. Each fault is made in a copy of
the working tree, so nothing changes here.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutations.table import MUTATIONS, Mutation
from tests.support.programs import ROOT

PYTEST = (sys.executable, "-m", "pytest", "--exitfirst", "--quiet", "--hypothesis-profile", "without shrinking")
ON_POSTGRESQL = (sys.executable, "-m", "tests.support.on_postgresql")
SOME, EVERY = ("-m", "not slow"), ()
# Not among the tracked files, and not written to by tests.
LINKED = (".venv", "tests/e2e/node_modules", ".pytest_cache")


@contextmanager
def copy() -> Iterator[Path]:
    """A copy of the files that git tracks, as they are in the working tree."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        root = Path(folder)
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
        for name in filter(None, tracked.stdout.split("\0")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        for name in LINKED:
            if (ROOT / name).exists():
                (root / name).symlink_to(ROOT / name)
        yield root


def failure(root: Path, command: tuple[str, ...], environ: dict[str, str]) -> str | None:
    """The first test that fails, or None if all pass."""
    done = subprocess.run(
        command, cwd=root, env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return found[1] if found else done.stdout.strip().splitlines()[-1]


def find(root: Path, mutation: Mutation, own: bool, everything: bool) -> tuple[str, str] | None:
    """The run that finds the fault, and the test."""
    split = ("--numprocesses", os.environ.get("TEST_PROCESSES", "4"), "--dist", "loadscope")
    some, every = {"TEST_ALL": "false"}, {"TEST_ALL": "true"}
    runs = [("scripts/test, own tests", (*PYTEST, *SOME, *mutation.tests), some)]
    runs.append(
        (
            "scripts/test, own tests on PostgreSQL",
            (*ON_POSTGRESQL, *PYTEST, *SOME, "-m", "database and not slow", *mutation.tests),
            some,
        )
    )
    if not own:
        runs.append(("scripts/test", (*PYTEST, *split, *SOME), some))
        if everything:
            runs.append(("scripts/test --all", (*PYTEST, *split), every))
            runs.append(("scripts/test --all", (*ON_POSTGRESQL, *PYTEST, *split, "-m", "database", "tests"), every))
    for name, command, environ in runs:
        if (test := failure(root, command, environ)) is not None and not test.startswith("no tests ran"):
            return name, test
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*(each.name for each in MUTATIONS), []])
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    missed = 0
    for mutation in MUTATIONS:
        if options.names and mutation.name not in options.names:
            continue
        began = time.monotonic()
        with copy() as root:
            mutation.apply(root)
            found = find(root, mutation, options.own, options.all)
        missed += found is None
        how, test = found or ("NOT FOUND", "")
        print(f"{mutation.name:32} {how:38} {time.monotonic() - began:5.0f} s  {test}", flush=True)
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
