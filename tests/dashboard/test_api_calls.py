"""What a page can do, the Admin API can do: each page's POST calls the endpoint that docs/dashboard-api.md names."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from dashboard import api
from tests.dashboard.all_pages import PAGES, address, arguments_of, form_of
from tests.hostile.routes import Route
from tests.hostile.test_routes import route_of
from tests.operations.world import WorldInProcess

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

DOCUMENT = Path(settings.BASE_DIR, "docs/dashboard-api.md")
ROW = re.compile(r"^\| (.*) \| `([A-Z]+ /\S+)` \|$", re.MULTILINE)

# The beginnings of the pages' paths, as the document names them.
SCOPES = {
    "projects/{project_pk}/environments/{environment_api_key}/": "environment",
    "projects/{project_pk}/": "project",
    "organisations/{organisation_pk}/": "organisation",
}

# They evaluate, and call nothing: the API has endpoints of its own, which give the same.
READ_ONLY = {
    "why": "POST /api/v1/environments/{environment_api_key}/evaluate/",
    "segment-check": "POST /api/v1/environments/{environment_api_key}/segments/{segment_pk}/check/",
    "inspector": "POST /api/v1/environments/{environment_api_key}/check-key/",
}

EXCEPTIONS = {
    "sign-out": "ends the browser's session, which the API does not have",
    "sign-in-code": "needs the session of the password before it: test_sign_in.py",
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The writes of pages. They are recorded and rejected."""
    recorded: list[str] = []
    call = api.call

    def record(request: Any, method: str, path: str, *args: Any, **options: Any) -> api.APIResponse:
        if method == "GET":
            return call(request, method, path, *args, **options)
        recorded.append(f"{method} /{route_of(path if path.startswith('/') else api.API_ROOT + path)}")
        return api.APIResponse(400, {"detail": "recorded"})

    monkeypatch.setattr(api, "call", record)
    return recorded


def label_of(route: Route) -> str:
    """The page as the document names it: "environment `features/new/`"."""
    for beginning, scope in SCOPES.items():
        if route.path.startswith(beginning):
            return f"{scope} `{route.path.removeprefix(beginning)}`"
    return f"`{route.path}`"


def test_pages__every_post__calls_the_documented_endpoint(
    browser: Client, client: Client, world: WorldInProcess, calls: list[str]
) -> None:
    arguments = arguments_of(world)
    found = {}
    for route in PAGES:
        if "POST" not in route.methods or route.name in EXCEPTIONS:
            continue
        calls.clear()
        response = browser.post(address(route, arguments), form_of(route, world))
        assert response.status_code < 500, route
        made = calls or [READ_ONLY.get(route.name, f"none: {response.status_code}")]
        found[label_of(route)] = " ".join(made)
    documented = dict(ROW.findall(DOCUMENT.read_text()))
    assert found == documented
