"""All pages of the dashboard, read from the URL configuration. So a test of all pages covers a new one by itself."""

from typing import Any

from tests.hostile import routes
from tests.hostile.routes import Route

PAGES = [route for route in routes.every() if routes.is_of_dashboard(route) and hasattr(route.callback, "view_class")]

VIEWS = {route.callback.view_class for route in PAGES}

# The pages of a server-side key take the environment from the query.
IN_QUERY = {"server-key", "server-key-revoke"}


def address(route: Route, arguments: dict[str, Any]) -> str:
    """The page's path with these arguments, and the query that it needs."""
    query = f"?env={arguments['environment_api_key']}" if route.name in IN_QUERY else ""
    return route.filled(arguments) + query


def shown() -> list[Route]:
    """The pages that a GET shows. Those that differ from a page above them only in the POST are left out."""
    return [route for route in PAGES if "GET" in route.methods and not _repeats_another(route.callback.view_class)]


def _repeats_another(view: Any) -> bool:
    """Whether the view adds a POST, and nothing that a GET could show, to the view of another page."""
    return any(not _added(view, base) for base in view.__mro__[1:] if base in VIEWS)


def _added(view: Any, base: Any) -> set[str]:
    own = [each for each in view.__mro__ if each not in base.__mro__]
    return {name for each in own for name in vars(each) if not name.startswith("__")} - {"post"}
