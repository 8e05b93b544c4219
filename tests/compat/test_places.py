"""Only ``realtime/compat/`` imports undocumented modules of libraries. Its docstrings name the tested versions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPAT = ROOT / "realtime/compat"
PACKAGES = ("realtime", "sdk", "environment_documents", "core", "settings")

# Modules that their libraries do not document, with all inside.
PRIVATE = (
    "django.core.handlers",
    "django.db.backends.postgresql",
    "django.db.models.sql",
    "django_eventstream.event",
    "django_eventstream.eventstream",
    "django_eventstream.utils",
    "django_eventstream.views",
    "flag_engine.segments",
    "prometheus_client.exposition",
    "prometheus_client.metrics_core",
    "re._constants",
    "re._parser",
    "redis.connection",
    "uvicorn.protocols",
    "uvicorn.server",
    "uvicorn.supervisors",
)


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_private_modules__imports__are_in_compat_only() -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not path.is_relative_to(COMPAT)
        for name in imports(ast.parse(path.read_text()))
        if any(f"{name}.".startswith(f"{private}.") for private in PRIVATE)
    ]
    assert not found


# Documented, although their names are private; and of Django REST framework, which realtime does not use.
DOCUMENTED = {
    "_asdict",
    "_base_manager",
    "_default_manager",
    "_current_frames",
    "_meta",
    "_replace",
    "_state",
    "_readable_fields",
}


def test_private_attributes__not_defined_here__are_read_in_compat_only() -> None:
    trees = {path: ast.parse(path.read_text()) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
    defined = {node.name for _, node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {node.id for _, node in nodes if isinstance(node, ast.Name)}
    defined |= {node.attr for _, node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} reads {node.attr}"
        for path, node in nodes
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if node.attr not in defined | DOCUMENTED and not path.is_relative_to(COMPAT)
    ]
    assert not found


# A module whose name is not that of its package.
PACKAGE_OF = {"django_postgresql": "django", "flag_engine": "flagsmith-flag-engine", "psycopg2": "psycopg2-binary"}


def pinned_versions() -> dict[str, str]:
    lines = [line for name in ("requirements.txt", "requirements-dev.txt") for line in (ROOT / name).open()]
    pairs = [re.split(r"(?:\[\w+\])?==", line.strip().lower()) for line in lines if "==" in line]
    return {name.replace("_", "-"): version for name, version in pairs}


@pytest.mark.parametrize("module", sorted(path.stem for path in COMPAT.glob("[!_]*.py") if path.stem != "re"))
def test_docstring__pinned_version__is_named_as_tested(module: str) -> None:
    package = PACKAGE_OF.get(module, module).replace("_", "-")
    docstring = ast.get_docstring(ast.parse((COMPAT / f"{module}.py").read_text())) or ""
    tested = re.search(r"\(tested: ([^)]*)\)", docstring)
    assert tested is not None
    assert pinned_versions()[package] in tested[1].split(", ")
