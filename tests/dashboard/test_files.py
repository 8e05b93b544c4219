"""Static files: served without sign-in by the application itself."""

import pytest
from django.test import Client

# For Django's request signals, which close database connections. The view itself makes no query.
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path, kind", [("dashboard/base.css", "text/css"), ("django_htmx/htmx-2.min.js", "text/javascript")]
)
def test_static_file__of_an_app__not_streamed_and_cached_for_a_minute(path: str, kind: str) -> None:
    response = Client().get(f"/static/{path}")
    assert (response.status_code, response.streaming) == (200, False)
    assert response["Content-Type"].startswith(kind)
    assert response["Cache-Control"] == "max-age=60, public"
    assert int(response["Content-Length"]) == len(response.content) > 1_000
    later = Client().get(f"/static/{path}", headers={"If-Modified-Since": response["Last-Modified"]})
    assert later.status_code == 304


@pytest.mark.parametrize("path", ["nothing.css", "../settings/base.py", "dashboard/../../apps.py", "dashboard/"])
def test_static_file__unknown_path__404(path: str) -> None:
    assert Client().get(f"/static/{path}").status_code == 404
