"""The requirements of ``scripts/test --latest``: the wheel's ranges, and of all other packages the pinned versions.

``python -m tests.support.latest`` prints them. It needs only Python.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    ranges = {_name(line): line for line in [*project["dependencies"], *extras] if _name(line) != project["name"]}
    pinned = [
        line for file in ("requirements.txt", "requirements-dev.txt") for line in (ROOT / file).read_text().split()
    ]
    others = [line for line in pinned if "==" in line and _name(line) not in ranges]
    return [*ranges.values(), *others]


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower()


if __name__ == "__main__":
    print(*requirements(), sep="\n")
