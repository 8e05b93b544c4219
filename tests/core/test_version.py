import pytest
from rest_framework.test import APIClient

from users.models import FFAdminUser


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/version", "/version/"])
def test_version__without_authentication__implemented_flagsmith_release(anonymous: APIClient, path: str) -> None:
    response = anonymous.get(path, HTTP_AUTHORIZATION="Token nonsense")

    assert response.status_code == 200
    assert response.json() == {
        "ci_commit_sha": "unknown",
        "image_tag": "2.265.0",
        "has_email_provider": False,
        "is_enterprise": False,
        "is_saas": False,
        "self_hosted_data": {"has_users": False, "has_logins": False},
        "package_versions": {".": "2.265.0"},
    }


@pytest.mark.django_db
def test_version__after_the_first_login__has_logins(anonymous: APIClient, user: FFAdminUser) -> None:
    body = {"email": user.email, "password": "pa55-word-1"}
    assert anonymous.post("/api/v1/auth/login/", body, format="json").status_code == 200

    assert anonymous.get("/version/").json()["self_hosted_data"] == {"has_users": True, "has_logins": True}
