"""Only ``realtime/compat/`` imports private or undocumented modules of libraries, and reads their private names."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
        if not path.is_relative_to(ROOT / "realtime/compat")
        for name in imports(ast.parse(path.read_text()))
        if any(f"{name}.".startswith(f"{private}.") for private in PRIVATE)
    ]
    assert not found
