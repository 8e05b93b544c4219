"""``queue-change``: valid and invalid posts, and their effects."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from environments.models import Environment
from projects.models import Project
from realtime import hosts
from realtime.changes import versions
from realtime.models import ExternalEnvironment
from realtime.types import EnvironmentKey
from tests.support.events import Recorder, recorded_events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

TOKEN = "t0ken"

# On a busy machine an example may take any time.
ON_ANY_MACHINE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


class Key:
    """An environment that is not in the database."""

    api_key = "external"


@pytest.fixture(autouse=True)
def token(settings: object) -> None:
    settings.SSE_AUTHENTICATION_TOKEN = TOKEN  # type: ignore[attr-defined]


def post(body: object, key: str = Key.api_key, authorization: str = f"Token {TOKEN}") -> tuple[int, object]:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    response = Client().post(
        f"/sse/environments/{key}/queue-change",
        data,
        content_type="application/json",
        headers={"Authorization": authorization},
    )
    return response.status_code, response.json()


def stored() -> datetime | None:
    return ExternalEnvironment.objects.values_list("updated_at", flat=True).filter(key=Key.api_key).first()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05.678901", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2026-01-02T03:04:05.678901+00:00", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2026-01-02T05:04:05.678901+02:00", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_queue_change__unknown_environment__stored_and_published(text: str, moment: datetime) -> None:
    with recorded_events(Key) as recorded:
        assert post({"updated_at": text}) == (202, {})
    assert recorded.of(Key) == [moment]
    assert stored() == moment
    assert hosts.current().states([EnvironmentKey(Key.api_key)])[EnvironmentKey(Key.api_key)].updated_at == moment


def test_queue_change__older_or_equal_version__not_stored_and_not_published() -> None:
    post({"updated_at": "2026-01-02T00:00:00"})
    with recorded_events(Key) as recorded:
        assert post({"updated_at": "2026-01-01T00:00:00"}) == (202, {})
        assert post({"updated_at": "2026-01-02T00:00:00"}) == (202, {})
        assert recorded.events == []
        post({"updated_at": "2026-01-03T00:00:00"})
    assert recorded.of(Key) == [datetime(2026, 1, 3, tzinfo=UTC)]


def test_queue_change__environment_of_our_database__its_own_version_is_published(
    recorded: Recorder, environment: Environment
) -> None:
    recorded.clear()
    assert post({"updated_at": "2026-01-01T00:00:00"}, key=environment.api_key) == (202, {})
    environment.refresh_from_db()
    assert recorded.of(environment) == [environment.updated_at]
    assert not ExternalEnvironment.objects.exists()


def test_queue_change__gate_closed_in_our_database__not_published(
    recorded: Recorder, environment: Environment, project: Project
) -> None:
    project.enable_realtime_updates = False
    project.save()
    recorded.clear()
    assert post({"updated_at": "2026-01-01T00:00:00"}, key=environment.api_key) == (202, {})
    assert recorded.events == []


@pytest.mark.parametrize("authorization", ["", "Token", "Token wrong", f"Bearer {TOKEN}", TOKEN, "Token tökén"])
def test_queue_change__wrong_token__401(authorization: str) -> None:
    assert post({"updated_at": "2026-01-01T00:00:00"}, authorization=authorization) == (
        401,
        {"detail": "Invalid token."},
    )
    assert stored() is None


def test_queue_change__no_token_configured__404(settings: object) -> None:
    settings.SSE_AUTHENTICATION_TOKEN = ""  # type: ignore[attr-defined]
    assert post({"updated_at": "2026-01-01T00:00:00"}, authorization="Token ")[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 3000,
        "[]",
        "null",
        {},
        {"updated_at": None},
        {"updated_at": 1735229888.1},
        {"updated_at": ""},
        {"updated_at": "yesterday"},
        {"updated_at": "2026-13-01T00:00:00"},
        {"updated_at": "0001-01-01T00:00:00+14:00"},
        {"updated_at": "1969-12-31T23:59:59"},
        {"updated_at": "9999-12-31T23:59:59"},
    ],
)
def test_queue_change__invalid_body__400_names_the_field(body: object) -> None:
    status, errors = post(body)
    assert status == 400
    assert set(errors) <= {"detail", "updated_at"}  # type: ignore[call-overload]
    assert stored() is None


def test_queue_change__version_slightly_in_the_future__accepted() -> None:
    ahead = timezone.now() + timedelta(minutes=5)
    assert post({"updated_at": ahead.isoformat()})[0] == 202
    assert stored() == ahead


def test_queue_change__large_body__413() -> None:
    assert post({"updated_at": "2026-01-01T00:00:00", "more": "x" * 5000})[0] == 413


def test_queue_change__long_key__400() -> None:
    assert post({"updated_at": "2026-01-01T00:00:00"}, key="k" * 101)[0] == 400


def test_queue_change__get__405() -> None:
    assert Client().get("/sse/environments/k/queue-change").status_code == 405


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("updated_at"), inner),
    max_leaves=8,
)


@given(json_values | st.fixed_dictionaries({"updated_at": st.text() | st.datetimes().map(str)}) | st.binary())
@hypothesis_settings(suppress_health_check=ON_ANY_MACHINE)
def test_queue_change__any_body__202_or_400_and_the_version_never_decreases(body: object) -> None:
    before = stored()
    status, _ = post(body)
    assert status in (202, 400)
    after = stored()
    assert before is None or (after is not None and after >= before)
    if status == 400:
        assert after == before


@given(
    st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1)), min_size=1, max_size=6)  # noqa: DTZ001
)
@hypothesis_settings(max_examples=30, suppress_health_check=ON_ANY_MACHINE)
def test_queue_change__versions_in_any_order__newest_is_kept(times: list[datetime]) -> None:
    ExternalEnvironment.objects.all().delete()
    for time in times:
        post({"updated_at": time.isoformat()})
    assert stored() == max(times).replace(tzinfo=UTC)


def test_queue_change__detached__only_the_apps_own_table_is_used(
    recorded: Recorder, environment: Environment, settings: object
) -> None:
    settings.REALTIME_HOST = "detached"  # type: ignore[attr-defined]
    recorded.clear()
    assert post({"updated_at": "2026-01-01T00:00:00"}, key=environment.api_key)[0] == 202
    assert recorded.of(environment) == [datetime(2026, 1, 1, tzinfo=UTC)]
    versions.lock([environment.pk])
    versions.announce([environment.pk])
    assert len(recorded.events) == 1
