"""URL paths with and without the last slash."""

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from tests.sdk.conftest import application

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/flags", "/api/v1/flags/"),
        ("/api/v1/flags?feature=a%20b", "/api/v1/flags/?feature=a%20b"),
        ("/api/v1/identities?identifier=ada", "/api/v1/identities/?identifier=ada"),
        ("/api/v1/projects/1", "/api/v1/projects/1/"),
    ],
)
def test_api__read_without_the_slash__redirected_permanently(anonymous: APIClient, path: str, target: str) -> None:
    answer = anonymous.get(path, headers={"Origin": "https://shop.example"})

    assert (answer.status_code, answer.headers["Location"]) == (301, target)
    # So that a page of another origin can follow it.
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert anonymous.head(path).status_code == 301


def test_api__redirect_followed__answer_of_the_path(environment: Environment) -> None:
    answer = application(environment.api_key).get("/api/v1/flags", follow=True)
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/nothing/", "/api/v2/flags", "/api/v1/swagger.json/"])
def test_api__no_such_path__404(anonymous: APIClient, path: str) -> None:
    assert anonymous.get(path).status_code == 404


def test_api__write_without_the_slash__404(anonymous: APIClient) -> None:
    """A client would send the redirected POST as a GET, without its body."""
    assert anonymous.post("/api/v1/identities", {"identifier": "ada"}, format="json").status_code == 404


@pytest.mark.parametrize("path", ["/health", "/health/", "/health/readiness", "/health/readiness/"])
def test_health__with_or_without_the_slash__readiness(anonymous: APIClient, path: str) -> None:
    answer = anonymous.get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert "bus" in answer.json()


@pytest.mark.parametrize("path", ["/health/liveness", "/health/liveness/"])
def test_health__with_or_without_the_slash__liveness(anonymous: APIClient, path: str) -> None:
    answer = anonymous.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
