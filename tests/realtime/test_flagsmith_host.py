"""``REALTIME_FLAGSMITH=follow``: Flagsmith raises its environments' versions itself, and this app only reads them.

The project of these tests takes Flagsmith's place. ``tests/flagsmith`` has a real one, and tests of its signals.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import WARNING, CheckMessage, run_checks
from django.utils import timezone

from environments.models import Environment
from features.models import Feature
from realtime import hosts
from realtime.changes import versions
from realtime.hosts import EmbeddedHost
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.events import recorded_events
from tests.support.server import MigratedSQLite, ServerProcess, manage

FOLLOWING = {"REALTIME_HOST": "flagsmith", "REALTIME_FLAGSMITH": "follow"}

OBSERVED = """
from django.db import connection
connection.ensure_connection()
print(sum(wrapper.__module__.startswith("realtime.") for wrapper in connection.execute_wrappers))
"""


class Follower(ServerProcess):
    """A process that serves only streams (``serve_realtime``), from a database that another process writes."""

    def _command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve_realtime", f"--port={self.port}"]


def test_serve_realtime__other_process_raises_versions__streams_get_them_and_other_urls_are_404(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    variables = sqlite_template.copy(tmp_path)
    following = {**variables, **FOLLOWING, "REALTIME_RECONCILE_SECONDS": "0.05"}
    with ServerProcess(variables) as server, Follower(following) as follower:
        tenant = Tenant.create(AdminAPI.registered(server.url))
        feature = tenant.add_feature("banner")["id"]
        with sse.connect(follower.port, tenant.environment.key) as stream:
            before = stream.next_event().updated_at

            tenant.change(feature, enabled=True)

            assert stream.event_after(before).updated_at == tenant.version()
        assert follower.get("/health/liveness").status == 200
        assert follower.get("/api/v1/flags/").status == 404


@pytest.mark.parametrize(("host", "wrapped"), [(FOLLOWING, "0"), ({"REALTIME_HOST": "embedded"}, "1")])
def test_flagsmith_host__database_connection__no_execute_wrapper(
    tmp_path: Path, host: dict[str, str], wrapped: str
) -> None:
    """``OBSERVED`` opens a connection and counts the execute wrappers of this app."""
    variables = {**host, "VAR_DIR": str(tmp_path)}
    assert manage("shell", "-v0", "-c", OBSERVED, variables=variables).split() == [wrapped]


@pytest.fixture
def flagsmith(settings: object) -> None:
    settings.REALTIME_HOST, settings.REALTIME_FLAGSMITH = "flagsmith", "follow"  # type: ignore[attr-defined]


# In a transaction, the fixture's announcement would count for this one too.
@pytest.mark.django_db(transaction=True)
def test_flagsmith_host__announce__writes_and_publishes_nothing(environment: Environment, flagsmith: None) -> None:
    version = Environment.objects.get(pk=environment.pk).updated_at
    with recorded_events(environment) as recorded:
        versions.lock([environment.pk])
        versions.announce([environment.pk])
    assert recorded.of(environment) == []
    assert Environment.objects.get(pk=environment.pk).updated_at == version


@pytest.mark.django_db
def test_flagsmith_host__version_written_long_after_its_time__in_changed_since(
    environment: Environment, flagsmith: None
) -> None:
    late = timezone.now() - timedelta(minutes=30)
    Environment.objects.filter(pk=environment.pk).update(updated_at=late)

    assert late in [state.updated_at for state in hosts.current().changed_since(timezone.now())]
    assert EmbeddedHost().changed_since(timezone.now()) == []


def messages() -> list[CheckMessage]:
    return [message for message in run_checks() if (message.id or "").startswith("realtime.")]


def warnings() -> list[CheckMessage]:
    return [message for message in messages() if message.level >= WARNING]


def test_checks__flagsmith_is_followed__an_information(flagsmith: None) -> None:
    (message,) = messages()
    assert message.id == "realtime.I002"
    assert "'follow'" in message.msg


@pytest.mark.parametrize(
    ("mode", "ids"),
    [
        ("pull", ["realtime.E014"]),
        # The project of the tests has no history and no feature versions, and SQLite has no bus.
        ("signals", ["realtime.E015", "realtime.I001", "realtime.I002", "realtime.W022"]),
    ],
)
def test_checks__flagsmith_mode_that_cannot_work__what_is_missing(
    settings: Any, flagsmith: None, mode: str, ids: list[str]
) -> None:
    settings.REALTIME_FLAGSMITH = mode
    settings.REALTIME_BUS = "memory"
    assert sorted(message.id or "" for message in messages()) == ids


@pytest.mark.parametrize("name", ["ENVIRONMENT_CACHE_SECONDS", "CACHE_ENVIRONMENT_DOCUMENT_SECONDS"])
def test_checks__flagsmith_cache_with_a_timeout__warning_with_its_seconds(
    settings: object, flagsmith: None, name: str
) -> None:
    setattr(settings, name, 60)

    (message,) = warnings()

    assert message.id == "realtime.W020"
    assert f"{name} is 60" in message.msg
    setattr(settings, name, 0)
    assert warnings() == []


@pytest.mark.parametrize(
    ("backend", "ids"),
    [
        ("django.core.cache.backends.locmem.LocMemCache", ["realtime.W020"]),
        ("realtime.flagsmith.caches.EnvironmentCache", []),
    ],
)
def test_checks__signals_in_flagsmith_with_a_cache_of_environments__warning_unless_it_compares_versions(
    settings: Any, flagsmith: None, backend: str, ids: list[str]
) -> None:
    settings.REALTIME_FLAGSMITH = "signals"
    settings.ENVIRONMENT_CACHE_NAME = "environment-objects"
    settings.ENVIRONMENT_CACHE_SECONDS = 60
    settings.CACHES = {**settings.CACHES, "environment-objects": {"BACKEND": backend}}

    found = [message for message in warnings() if message.id == "realtime.W020"]

    assert [message.id for message in found] == ids
    assert all("realtime.flagsmith.caches.EnvironmentCache" in (message.hint or "") for message in found)


def test_checks__flagsmith_persistent_document_cache__warning(settings: object, flagsmith: None) -> None:
    settings.CACHE_ENVIRONMENT_DOCUMENT_MODE = "PERSISTENT"  # type: ignore[attr-defined]

    (message,) = warnings()

    assert message.id == "realtime.W021"
    settings.CACHE_ENVIRONMENT_DOCUMENT_MODE = "EXPIRING"  # type: ignore[attr-defined]
    assert warnings() == []


@pytest.mark.django_db
def test_detached_host__watched_model_saved__nothing_is_published(
    environment: Environment, feature: Feature, settings: Any
) -> None:
    settings.REALTIME_HOST = "detached"
    version = Environment.objects.get(pk=environment.pk).updated_at
    with recorded_events(environment) as recorded:
        feature.description = "changed"
        feature.save()
    assert recorded.of(environment) == []
    assert Environment.objects.get(pk=environment.pk).updated_at == version
