"""Form-encoded bodies of the Admin API, as ``curl -d name=value`` sends them."""

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from environments.models import Environment
from projects.models import Project
from tests.sdk.conftest import application
from users.models import FFAdminUser

FORM = "application/x-www-form-urlencoded"
ENVIRONMENTS = "/api/v1/environments/"
LOGIN = "/api/v1/auth/login/"

pytestmark = pytest.mark.django_db


def test_form__environment__same_defaults_as_from_json(admin: APIClient, project: Project) -> None:
    body = f"name=Caf%C3%A9+1&project={project.pk}&hide_sensitive_data=true"
    answer = admin.post(ENVIRONMENTS, body, content_type=FORM)

    assert answer.status_code == 201
    made = Environment.objects.get()
    assert (made.name, made.hide_sensitive_data) == ("Café 1", True)
    # Missing fields have the model's defaults, unlike a missing checkbox in an HTML form.
    assert (made.allow_client_traits, made.use_identity_overrides_in_local_eval) == (True, True)


def test_form__login_and_patch__as_with_json(anonymous: APIClient, admin: APIClient, user: FFAdminUser) -> None:
    answer = anonymous.post(LOGIN, f"email={user.email}&password=pa55-word-1", content_type=f"{FORM}; charset=UTF-8")
    assert (answer.status_code, list(answer.json())) == (200, ["key"])

    answer = admin.patch("/api/v1/auth/users/me/", "first_name=Grace", content_type=FORM)
    assert (answer.status_code, answer.json()["first_name"]) == (200, "Grace")


def test_form__repeated_name__list(admin: APIClient, project: Project, member_user: FFAdminUser) -> None:
    body = f"user={member_user.pk}&permissions=VIEW_PROJECT&permissions=CREATE_FEATURE"
    answer = admin.post(f"/api/v1/projects/{project.pk}/user-permissions/", body, content_type=FORM)

    assert answer.status_code == 201
    assert set(answer.json()["permissions"]) == {"VIEW_PROJECT", "CREATE_FEATURE"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"email": "a@example.com", "password": "x"}', "Send application/json"),
        (b"email=%ff&password=x", "Form parse error"),
        (b"email=\xff&password=x", "Form parse error"),
        (b"email", "Form parse error"),
        (b"&".join([b"a=b"] * (settings.DATA_UPLOAD_MAX_NUMBER_FIELDS or 0)) + b"&a=b", "Form parse error"),
    ],
)
def test_form__invalid__400_with_the_reason(anonymous: APIClient, body: bytes, message: str) -> None:
    answer = anonymous.post(LOGIN, body, content_type=FORM)

    assert answer.status_code == 400
    assert message in answer.json()["detail"]


def test_form__invalid_field__error_as_from_json(anonymous: APIClient) -> None:
    answer = anonymous.post(LOGIN, "email=a@example.com", content_type=FORM)

    assert (answer.status_code, answer.json()) == (400, {"password": ["This field is required."]})


def test_form__too_large__413(anonymous: APIClient) -> None:
    body = b"email=" + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert anonymous.post(LOGIN, body, content_type=FORM).status_code == 413


def test_form__sdk_api__415(environment: Environment) -> None:
    answer = application(environment.api_key).post("/api/v1/identities/", "identifier=ada", content_type=FORM)
    assert answer.status_code == 415
