"""The lists of packages that import-linter is given are complete, so that no new package escapes it."""

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


def layers() -> dict[str, Any]:
    """The contract of the top-level packages."""
    (found,) = [each for each in contract()["contracts"] if each["type"] == "layers" and "containers" not in each]
    return dict(found)


def test_layers__every_package_of_ours__has_its_place() -> None:
    ordered = [name.strip() for layer in layers()["layers"] for name in layer.split("|")]

    assert sorted(ordered) == sorted({*own_packages(), "realtime"})


def test_layers__exceptions__five_at_most() -> None:
    assert len(layers()["ignore_imports"]) <= 5
