"""All routes of the API, read from the URL configuration."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from dashboard.files import static_file
from dashboard.pages import Page

ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")
GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")


ROOTS = ("api/v1/", "api/__future__/")


@dataclass(frozen=True)
class Route:
    """A path with its arguments in braces, and its methods in upper case."""

    path: str
    methods: frozenset[str]
    callback: Any = field(default=None, compare=False, repr=False)
    """The view."""
    name: str = field(default="", compare=False)
    """The name in the URL configuration, without its namespace."""

    def __str__(self) -> str:
        return self.path

    @property
    def arguments(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)

    def filled(self, arguments: dict[str, Any]) -> str:
        return "/" + self.path.format_map(arguments)


def api() -> list[Route]:
    """The routes below ``ROOTS``, except those of the schema."""
    return [route for route in every() if route.path.startswith(ROOTS) and route.methods and _ours(route.path)]


def ofrep() -> list[Route]:
    """The routes of OFREP. Its errors do not name fields, and no caller of the API has its headers."""
    return [route for route in every() if route.path.startswith("ofrep/")]


def every() -> list[Route]:
    """All routes of Django, also those outside of the API."""
    return [
        Route(path, _methods(pattern), pattern.callback, pattern.name or "")
        for path, pattern in _patterns(get_resolver(), "")
    ]


def is_of_dashboard(route: Route) -> bool:
    """Whether it is a page or a static file of the dashboard, which ``tests/dashboard/`` tests."""
    return route.callback is static_file or issubclass(getattr(route.callback, "view_class", object), Page)


def _ours(path: str) -> bool:
    return not path.startswith(("api/v1/swagger", "api/v1/docs"))


def _patterns(resolver: URLResolver, before: str) -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        path = before + _readable(str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from _patterns(entry, path)
        else:
            yield path, entry


def _readable(pattern: str) -> str:
    pattern = GROUP.sub(r"{\1}", pattern)
    pattern = ARGUMENT.sub(r"{\1}", pattern)
    return pattern.removeprefix("^").removesuffix(r"\Z").removesuffix("$").replace(r"\.", ".")


def _methods(pattern: URLPattern) -> frozenset[str]:
    callback: Any = pattern.callback
    actions = getattr(callback, "actions", None)
    if actions:
        return frozenset(method.upper() for method in actions)
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    names = ("get", "post", "put", "patch", "delete")
    return frozenset(name.upper() for name in names if hasattr(view, name))
