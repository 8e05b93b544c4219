"""Styles and scripts are served to anybody, whatever serves the pages."""

import pytest
from django.test import Client

# For what Django looks at around a request; the file itself asks the database nothing.
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path, kind", [("dashboard/base.css", "text/css"), ("django_htmx/htmx-2.min.js", "text/javascript")]
)
def test_static_file__of_an_app__whole_and_for_a_minute(path: str, kind: str) -> None:
    answer = Client().get(f"/static/{path}")
    assert (answer.status_code, answer.streaming) == (200, False)
    assert answer["Content-Type"].startswith(kind)
    assert answer["Cache-Control"] == "max-age=60, public"
    assert int(answer["Content-Length"]) == len(answer.content) > 1_000
    later = Client().get(f"/static/{path}", headers={"If-Modified-Since": answer["Last-Modified"]})
    assert later.status_code == 304


@pytest.mark.parametrize("path", ["nothing.css", "../settings/base.py", "dashboard/../../apps.py", "dashboard/"])
def test_static_file__not_one_of_them__404(path: str) -> None:
    assert Client().get(f"/static/{path}").status_code == 404
