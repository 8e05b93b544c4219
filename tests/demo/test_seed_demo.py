"""``manage.py seed_demo``."""

import json
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from features.models import FeatureState
from projects.models import Project
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

KEYS = {
    "email", "password", "token", "organisation_id", "project_id", "environments", "features", "segment_id",
}  # fmt: skip


@pytest.fixture(autouse=True)
def var_dir(tmp_path: Path, settings: Settings) -> Path:
    settings.VAR_DIR = tmp_path
    return tmp_path


def run(*arguments: str) -> tuple[str, str]:
    """The command's output on stdout and stderr."""
    out, err = StringIO(), StringIO()
    call_command("seed_demo", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def seeded() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run("--json")[0])
    return result


def password_file(var_dir: Path) -> Path:
    (file,) = var_dir.glob("demo_password-*")
    return file


def test_seed_demo__empty_database__json_has_all_objects() -> None:
    demo = seeded()

    assert set(demo) == KEYS
    assert [set(environment) for environment in demo["environments"]] == [{"id", "name", "api_key", "server_key"}] * 2
    assert [environment["name"] for environment in demo["environments"]] == ["Development", "Production"]
    assert all(environment["server_key"].startswith("ser.") for environment in demo["environments"])
    assert len(demo["features"]) == 10
    assert {frozenset(feature) for feature in demo["features"]} == {frozenset({"id", "name"})}


def test_seed_demo__empty_database__project_has_every_kind_of_value() -> None:
    demo = seeded()

    project = Project.objects.get(pk=demo["project_id"])
    states = FeatureState.objects.filter(environment_id=demo["environments"][0]["id"], feature_segment=None)
    values = {state.feature.name: state.feature_state_value.value for state in states}
    assert project.enable_realtime_updates
    assert {type(value) for value in values.values()} == {bool, int, str, type(None)}
    assert project.features.filter(type="MULTIVARIATE").count() == 1
    assert FeatureState.objects.filter(feature_segment__segment_id=demo["segment_id"]).count() == 2


def test_seed_demo__first_feature__is_disabled() -> None:
    demo = seeded()

    states = FeatureState.objects.filter(feature_id=demo["features"][0]["id"], feature_segment=None)
    assert [state.enabled for state in states] == [False, False]


def test_seed_demo__second_run__same_output_and_no_new_rows() -> None:
    first = seeded()
    states = FeatureState.objects.count()

    assert seeded() == first
    assert FeatureState.objects.count() == states


def test_seed_demo__deleted_feature__created_again() -> None:
    first = seeded()
    Project.objects.get(pk=first["project_id"]).features.filter(name="dark_mode").delete()

    again = seeded()

    assert {feature["name"] for feature in again["features"]} == {feature["name"] for feature in first["features"]}
    assert again["environments"] == first["environments"]


def test_seed_demo__token_and_password__sign_in(anonymous: APIClient) -> None:
    demo = seeded()

    answer = anonymous.post(
        "/api/v1/auth/login/", {"email": demo["email"], "password": demo["password"]}, format="json"
    )

    assert answer.status_code == 200
    assert answer.json() == {"key": demo["token"]}


def test_seed_demo__password_file__readable_by_its_owner_only(var_dir: Path) -> None:
    demo = seeded()

    file = password_file(var_dir)
    assert file.read_text().strip() == demo["password"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_seed_demo__missing_password_file__new_password_and_a_message(var_dir: Path) -> None:
    first = seeded()
    password_file(var_dir).unlink()

    out, err = run("--json")

    second = json.loads(out)
    assert second["password"] != first["password"]
    assert "A new one has been set" in err
    assert FFAdminUser.objects.get(email=second["email"]).check_password(second["password"])


def test_seed_demo__password_changed_elsewhere__printed_password_signs_in() -> None:
    first = seeded()
    user = FFAdminUser.objects.get(email=first["email"])
    user.set_password("another-password-1")
    user.save()

    second = seeded()

    assert FFAdminUser.objects.get(email=first["email"]).check_password(second["password"])


def test_seed_demo__another_database__password_of_its_own(var_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = seeded()
    monkeypatch.setitem(connection.settings_dict, "NAME", "another")

    second = seeded()

    kept = {file.read_text().strip() for file in var_dir.glob("demo_password-*")}
    assert kept == {first["password"], second["password"]}
    assert len(kept) == 2


def test_seed_demo__if_empty_and_empty__seeds_and_prints_the_urls() -> None:
    out, _ = run("--if-empty", "--url", "http://127.0.0.1:9000")

    demo = seeded()
    key = demo["environments"][0]["api_key"]
    assert f"curl -N http://127.0.0.1:9000/sse/environments/{key}/stream" in out
    assert "http://127.0.0.1:9000/api/v1/docs/" in out
    assert demo["email"] in out
    assert demo["password"] in out


def test_seed_demo__if_empty_on_a_later_start__password_is_not_shown_again(var_dir: Path) -> None:
    demo = seeded()

    out, _ = run("--if-empty")

    assert demo["password"] not in out
    assert str(password_file(var_dir)) in out
    assert demo["environments"][0]["api_key"] in out


def test_seed_demo__if_empty_with_a_user__creates_nothing(user: FFAdminUser) -> None:
    out, _ = run("--if-empty")

    assert not Project.objects.exists()
    assert "/api/v1/docs/" in out
    assert "curl" not in out
