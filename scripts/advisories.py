"""Known holes in what is installed: scripts/check runs it.

Exit status 1 and a line for each hole that the advisory database knows in an installed package. Where no database
answers, or the one that does knows none of the packages (a mirror without advisories), it says so in one line and that
is all: a build must not depend on being online.
"""

import json
import subprocess
import sys
from typing import Any

SECONDS = 120

# What a virtual environment brings along; no requirement of ours, and not there in production.
NOT_OURS = {"pip", "setuptools", "wheel"}

SKIPPED = "audit: skipped: no advisory database reached"


def main() -> int:
    dependencies = audited()
    if dependencies is None or not any("vulns" in dependency for dependency in dependencies):
        print(SKIPPED)
        return 0
    ours = [dependency for dependency in dependencies if dependency["name"].lower() not in NOT_OURS]
    holes = [(dependency, hole) for dependency in ours for hole in dependency.get("vulns", [])]
    for dependency, hole in holes:
        repaired = ", ".join(hole["fix_versions"]) or "no release"
        says = f"{dependency['name']} {dependency['version']}: {hole['id']}, repaired in {repaired}"
        print(f"audit: {says}", file=sys.stderr)
    return 1 if holes else 0


def audited() -> list[dict[str, Any]] | None:
    """Every installed package as pip-audit knows it; None where it got no answer."""
    command = ["pip-audit", "--local", "--progress-spinner=off", "--format=json", "--timeout=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # With holes its status is 1, as it is after a failure, which prints no JSON.
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return found


if __name__ == "__main__":
    sys.exit(main())
