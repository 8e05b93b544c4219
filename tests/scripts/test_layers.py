"""The list of apps that import-linter is given is complete, so that no new app escapes it."""

import tomllib
from typing import Any

from django.apps import apps

from tests.support.programs import ROOT


def contract() -> dict[str, Any]:
    linter: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return linter


def own_packages() -> set[str]:
    """The top-level packages of this project that are Django apps or settings."""
    installed = {config.name.partition(".")[0] for config in apps.get_app_configs()}
    return {name for name in installed if (ROOT / name / "__init__.py").is_file()} | {"settings"}


def test_contract__every_package_of_ours__is_analysed() -> None:
    assert own_packages() <= set(contract()["root_packages"])


def test_contract__every_sibling_of_realtime__is_forbidden_to_it() -> None:
    (forbidden,) = [each for each in contract()["contracts"] if each["type"] == "forbidden"]

    assert forbidden["source_modules"] == ["realtime"]
    assert own_packages() - {"realtime"} <= set(forbidden["forbidden_modules"])
