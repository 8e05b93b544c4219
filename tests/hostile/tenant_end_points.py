"""People, organisations, projects and environments."""

from collections.abc import Callable
from typing import Any

from tests.hostile import values
from tests.hostile.end_points import (
    NAME,
    PERMISSION,
    SETTINGS_OF_ENVIRONMENT,
    SETTINGS_OF_PROJECT,
    EndPoint,
    both,
    end_point,
)
from tests.hostile.people_end_points import PEOPLE
from tests.support import accounts
from tests.support.receiver import shared

PASSWORD = "pa55-word-1"
NEW_PASSWORD = "a-Str0ng-one!"
NO_TEXT = ([], {}, True, values.NULL_BYTE)
WEAK_PASSWORD = ([], {}, "password", "x" * 4_097, values.NULL_BYTE)
PERSON = {"first_name": values.text(150), "last_name": values.text(150)}
ORGANISATION = {
    "name": NAME,
    "webhook_notification_email": values.EMAIL,
    "restrict_project_create_to_admin": values.BOOLEAN,
    "force_2fa": values.BOOLEAN,
}
SERVER_KEY = {"name": values.text(100), "expires_at": values.TIME, "active": values.BOOLEAN}
MASTER_KEY = {"name": values.text(50), "expiry_date": values.TIME, "revoked": values.BOOLEAN}
WEBHOOK = {
    "url": (
        *values.text(200),
        "x",
        "ftp://example.com/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "https://user@169.254.169.254/",
        "http://example.com:25/",
        "http://example.com:65536/",
        "http://example.com\r\nX: y/",
    ),
    "enabled": values.BOOLEAN,
    "secret": values.text(255),
}
TAG = {"label": values.text(100), "color": values.text(10), "description": values.text(512)}


def user_permissions(
    place: str, of: Callable[[Any], str], held: Callable[[Any], Any], given: dict[str, Any]
) -> tuple[EndPoint, ...]:
    """Of users in an organisation, a project or an environment. Only the last two have an admin of their own."""

    def body(w: Any) -> dict[str, Any]:
        return {"user": w.member.pk, **given}

    changeable = {name: PERMISSION[name] for name in given}
    return (
        end_point(
            f"POST {place}user-permissions/",
            lambda w: f"{of(w)}user-permissions/",
            body,
            fields={"user": PERMISSION["user"], **changeable},
            required=("user",),
        ),
        *both(
            f"{place}user-permissions/{{id}}/",
            lambda w: f"{of(w)}user-permissions/{held(w)['id']}/",
            body,
            fields=changeable,
        ),
    )


def webhooks(place: str, of: Callable[[Any], str], made: Callable[[Any], Any]) -> tuple[EndPoint, ...]:
    """Of an organisation or of an environment."""
    return (
        end_point(
            f"POST {place}webhooks/",
            lambda w: f"{of(w)}webhooks/",
            lambda w: {"url": "https://hooks.example.com/", "enabled": True, "secret": "s"},
            fields=WEBHOOK,
            required=("url",),
        ),
        *both(
            f"{place}webhooks/{{id}}/",
            lambda w: f"{of(w)}webhooks/{made(w)['id']}/",
            lambda w: {"url": "https://hooks.example.com/other"},
            fields=WEBHOOK,
            required=("url",),
        ),
    )


TENANT: tuple[EndPoint, ...] = (
    *PEOPLE,
    end_point(
        "POST auth/users/",
        lambda w: "auth/users/",
        lambda w: {"email": "new@example.com", "password": "a-Str0ng-one!", "first_name": "N", "last_name": "N"},
        fields={"email": values.EMAIL, "password": ([], {}, "password", values.NULL_BYTE), **PERSON},
        required=("email", "password", "first_name", "last_name"),
        key="none",
    ),
    end_point(
        "POST auth/login/",
        lambda w: "auth/login/",
        lambda w: {"email": w.user.email, "password": PASSWORD},
        fields={"email": NO_TEXT, "password": NO_TEXT},
        required=("email", "password"),
        key="none",
    ),
    end_point(
        "POST auth/login/code/",
        lambda w: "auth/login/code/",
        lambda w: accounts.code_login(w.user),
        fields={
            "ephemeral_token": (*NO_TEXT, "x" * 1_001),
            "code": (*NO_TEXT, "x" * 101),
        },
        required=("ephemeral_token", "code"),
        key="none",
    ),
    end_point(
        "POST auth/app/activate/confirm/",
        lambda w: "auth/app/activate/confirm/",
        lambda w: {"code": accounts.code_of(w.user, confirmed=False)},
        fields={"code": (*NO_TEXT, "x" * 101)},
        required=("code",),
    ),
    end_point(
        "POST auth/users/reset_password/",
        lambda w: "auth/users/reset_password/",
        lambda w: {"email": "nobody@example.com"},
        fields={"email": values.EMAIL},
        required=("email",),
        key="none",
    ),
    end_point(
        "POST auth/users/reset_password_confirm/",
        lambda w: "auth/users/reset_password_confirm/",
        lambda w: {**accounts.reset_link(w.user), "new_password": NEW_PASSWORD, "re_new_password": NEW_PASSWORD},
        fields={"new_password": WEAK_PASSWORD, "uid": NO_TEXT, "token": values.text(2_000)},
        required=("uid", "token", "new_password", "re_new_password"),
        key="none",
    ),
    end_point(
        "POST auth/users/set_password/",
        lambda w: "auth/users/set_password/",
        lambda w: {"current_password": PASSWORD, "new_password": NEW_PASSWORD, "re_new_password": NEW_PASSWORD},
        fields={"new_password": WEAK_PASSWORD, "current_password": (*NO_TEXT, "wrong")},
        required=("current_password", "new_password", "re_new_password"),
    ),
    *both(
        "auth/users/me/",
        lambda w: "auth/users/me/",
        lambda w: {"first_name": "N", "last_name": "N"},
        fields=PERSON,
        required=("first_name", "last_name"),
    ),
    end_point(
        "POST organisations/",
        lambda w: "organisations/",
        lambda w: {"name": "Second", "restrict_project_create_to_admin": False, "force_2fa": False},
        fields=ORGANISATION,
        required=("name",),
    ),
    *both(
        "organisations/{id}/",
        lambda w: f"organisations/{w.organisation.pk}/",
        lambda w: {"name": "Renamed"},
        fields=ORGANISATION,
        required=("name",),
    ),
    end_point(
        "POST organisations/{id}/users/{id}/update-role/",
        lambda w: f"organisations/{w.organisation.pk}/users/{w.member.pk}/update-role/",
        lambda w: {"role": "ADMIN"},
        fields={"role": values.CHOICE},
        required=("role",),
    ),
    end_point(
        "POST organisations/{id}/remove-users/",
        lambda w: f"organisations/{w.organisation.pk}/remove-users/",
        lambda w: [{"id": w.member.pk}],
        fields={"0.id": values.INTEGER},
        required=("0.id",),
    ),
    end_point(
        "POST organisations/{id}/master-api-keys/",
        lambda w: f"organisations/{w.organisation.pk}/master-api-keys/",
        lambda w: {"name": "ci"},
        fields=MASTER_KEY,
        required=("name",),
    ),
    *both(
        "organisations/{id}/master-api-keys/{prefix}/",
        lambda w: f"organisations/{w.organisation.pk}/master-api-keys/{w.master_key['prefix']}/",
        lambda w: {"name": "other"},
        fields=MASTER_KEY,
        required=("name",),
    ),
    *user_permissions(
        "organisations/{id}/",
        lambda w: w.of_organisation,
        lambda w: w.organisation_permission,
        {"permissions": ["CREATE_PROJECT"]},
    ),
    end_point(
        "POST projects/",
        lambda w: "projects/",
        lambda w: {"name": "Second", "organisation": w.organisation.pk},
        fields={"name": NAME, "organisation": values.REFERENCE, **SETTINGS_OF_PROJECT},
        required=("name", "organisation"),
    ),
    *both(
        "projects/{id}/",
        lambda w: w.of_project,
        lambda w: {"name": "Renamed", "organisation": w.organisation.pk},
        fields={"name": NAME, **SETTINGS_OF_PROJECT},
        required=("name",),
    ),
    *user_permissions(
        "projects/{id}/",
        lambda w: w.of_project,
        lambda w: w.project_permission,
        {"permissions": ["VIEW_PROJECT"], "admin": False},
    ),
    end_point(
        "POST projects/{id}/tags/",
        lambda w: f"{w.of_project}tags/",
        lambda w: {"label": "new", "color": "#ff0000"},
        fields=TAG,
        required=("label",),
    ),
    *both(
        "projects/{id}/tags/{id}/",
        lambda w: f"{w.of_project}tags/{w.tag['id']}/",
        lambda w: {"label": "new", "color": "#ff0000"},
        fields=TAG,
        required=("label",),
    ),
    end_point(
        "POST environments/",
        lambda w: "environments/",
        lambda w: {"name": "New", "project": w.project.pk},
        fields={"name": NAME, "project": values.REFERENCE, **SETTINGS_OF_ENVIRONMENT},
        required=("name", "project"),
    ),
    *both(
        "environments/{key}/",
        lambda w: w.of_a,
        lambda w: {"name": "Renamed", "project": w.project.pk},
        fields={"name": NAME, "api_key": values.text(100), **SETTINGS_OF_ENVIRONMENT},
        required=("name",),
    ),
    end_point(
        "POST environments/{key}/clone/",
        lambda w: f"{w.of_a}clone/",
        lambda w: {"name": "Clone"},
        fields={"name": NAME, "clone_feature_states_async": values.BOOLEAN},
        required=("name",),
    ),
    end_point(
        "POST environments/{key}/api-keys/",
        lambda w: f"{w.of_a}api-keys/",
        lambda w: {"name": "k"},
        fields=SERVER_KEY,
        required=("name",),
    ),
    *both(
        "environments/{key}/api-keys/{id}/",
        lambda w: f"{w.of_a}api-keys/{w.server_key['id']}/",
        lambda w: {"name": "l"},
        fields=SERVER_KEY,
        required=("name",),
    ),
    *user_permissions(
        "environments/{key}/",
        lambda w: w.of_a,
        lambda w: w.environment_permission,
        {"permissions": ["VIEW_ENVIRONMENT"], "admin": False},
    ),
    *webhooks("environments/{key}/", lambda w: w.of_a, lambda w: w.webhook),
    *webhooks("organisations/{id}/", lambda w: w.of_organisation, lambda w: w.organisation_webhook),
    end_point(
        "POST webhooks/test/",
        lambda w: "webhooks/test/",
        lambda w: {"webhook_url": shared().url, "scope": {"type": "environment", "id": w.a.api_key}, "secret": "s"},
        fields={
            "webhook_url": WEBHOOK["url"],
            "scope": values.OBJECT,
            "scope.type": values.CHOICE,
            "scope.id": (*NO_TEXT, "no such", ""),
            "secret": values.text(255),
        },
        required=("webhook_url", "scope", "scope.type", "scope.id"),
    ),
    end_point(
        "POST environments/{key}/delete-traits/",
        lambda w: f"{w.of_a}delete-traits/",
        lambda w: {"key": w.trait["trait_key"]},
        fields={"key": ([], {}, values.NULL_BYTE)},
        required=("key",),
    ),
)
