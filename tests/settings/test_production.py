"""The production settings reject missing and unsafe values."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT
from tests.support.server import MigratedSQLite, environ

pytestmark = pytest.mark.slow

VALID = {
    "DJANGO_SETTINGS_MODULE": "settings.production",
    "SECRET_KEY": "q7Zr2mVx9LpK4sTnW8bYcF3dGhJ6uAeR5tQyXzMvBnPwC1kDfU",
    "ALLOWED_HOSTS": "flags.example.com",
}


def check(variables: dict[str, str | None], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py check`` with the valid variables and these changes; None removes one."""
    variables_of_process = {name: value for name, value in (VALID | variables).items() if value is not None}
    return subprocess.run(
        [sys.executable, "manage.py", "check", *arguments],
        cwd=ROOT,
        env=environ(**variables_of_process),
        capture_output=True,
        text=True,
    )


def test_production__valid_values__starts_and_passes_the_deployment_checks(tmp_path: Path) -> None:
    done = check({"VAR_DIR": str(tmp_path)}, "--deploy", "--fail-level=INFO")

    assert done.returncode == 0, done.stderr
    # settings/production.py has the reasons of the silenced checks.
    assert done.stdout == "System check identified no issues (2 silenced).\n"


@pytest.mark.parametrize(
    "variables",
    [
        {"SECRET_KEY": None},
        {"SECRET_KEY": ""},
        {"SECRET_KEY": "changeme"},
        {"SECRET_KEY": "x" * 60},
        {"SECRET_KEY": "django-insecure-q7Zr2mVx9LpK4sTnW8bYcF3dGhJ6uAeR5tQyXzMvBnPwC1kDfU"},
        {"DEBUG": "true"},
        {"DEBUG": "1"},
        {"ALLOWED_HOSTS": None},
        {"ALLOWED_HOSTS": ""},
        {"ALLOWED_HOSTS": " , "},
        {"ALLOWED_HOSTS": "*"},
        {"ALLOWED_HOSTS": "flags.example.com,*"},
        {"DATABASE_URL": "mysql://host/name"},
        {"REDIS_URL": "host:6379"},
        {"LOG_LEVEL": "loud"},
        {"LOG_FORMAT": "xml"},
    ],
    ids=str,
)
def test_production__missing_or_unsafe_value__fails_and_names_it(variables: dict[str, str | None]) -> None:
    (name,) = variables

    done = check(variables)

    assert done.returncode != 0
    assert name in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_production__secret_key_of_the_tests__fails() -> None:
    from settings import test

    assert check({"SECRET_KEY": test.SECRET_KEY}).returncode != 0


@pytest.mark.parametrize("text", ["maybe", "2"])
def test_production__flag_neither_true_nor_false__fails_and_names_it(text: str) -> None:
    done = check({"SECURE_SSL_REDIRECT": text})

    assert done.returncode != 0
    assert "SECURE_SSL_REDIRECT" in done.stderr.splitlines()[-1]


def test_asgi__nothing_configured__production_settings_are_the_default() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import settings.asgi"], cwd=ROOT, env=environ(), capture_output=True, text=True
    )

    assert done.returncode != 0
    assert "SECRET_KEY" in done.stderr.splitlines()[-1]


REQUESTS = """
import django

django.setup()
from django.test import Client

for path in ("metrics", "health/readiness", "version"):
    answer = Client(HTTP_AUTHORIZATION="Bearer of-metrics").get(f"/{path}", HTTP_HOST="127.0.0.1")
    print(path, answer.status_code)
"""


def test_production__plain_http_to_a_process_itself__metrics_and_health_are_not_redirected(
    tmp_path: Path, sqlite_template: MigratedSQLite
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REQUESTS],
        cwd=ROOT,
        env=environ(**VALID, **sqlite_template.copy(tmp_path), REALTIME_METRICS_TOKEN="of-metrics"),
        capture_output=True,
        text=True,
    )

    assert done.stdout.splitlines() == ["metrics 200", "health/readiness 200", "version 301"], done.stderr
