"""Writing of usage counts to the database: each exactly once, also with concurrent writers and failures."""

import json
import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from app_analytics import labels, store
from app_analytics import meter as metering
from app_analytics.counters import PendingCounts
from app_analytics.meter import Meter
from app_analytics.models import APIUsageBucket, FeatureEvaluationBucket, Resource
from environments.models import Environment
from realtime import workers
from tests.app_analytics.conftest import TODAY
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def stored_requests() -> dict[tuple[int, int, str], int]:
    rows = APIUsageBucket.objects.values_list("environment_id", "resource", "labels", "total_count")
    return {
        (environment, resource, json.dumps(labels_of_row)): count
        for environment, resource, labels_of_row, count in rows
    }


class FailingStore:
    """A store that fails while ``unavailable`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.unavailable = True
        self.called = threading.Event()
        self.failures = threading.Semaphore(0)
        self._add = store.add
        monkeypatch.setattr(store, "add", self.add)

    def add(self, counts: PendingCounts) -> None:
        self.called.set()
        if self.unavailable:
            self.failures.release()
            raise OperationalError("the database is unavailable")
        self._add(counts)


@pytest.fixture
def failing_store(monkeypatch: pytest.MonkeyPatch) -> FailingStore:
    return FailingStore(monkeypatch)


def test_meters__concurrent_on_the_same_rows__no_count_lost(environment: Environment) -> None:
    meters, writings, apps = 5, 20, 8
    failures: list[int] = []

    def run(number: int) -> None:
        meter, order = Meter(), random.Random(number)
        try:
            for _ in range(writings):
                for app in order.sample(range(apps), apps):
                    app_labels = (f"app {app}", "", "")
                    meter.counters.request(app % 3 + 1, Resource.FLAGS, app_labels)
                    meter.counters.evaluations(app % 3 + 1, {1: 2, 2: 1}, app_labels)
                meter.counters.stream(environment.api_key)
                try:
                    meter.write()
                except DatabaseError:
                    failures.append(number)
            # Counts of a failed write (a deadlock) are in the next one.
            meter.write()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(meters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    streams = (environment.pk, int(Resource.STREAMS), "{}")
    counted = stored_requests()
    assert counted.pop(streams) == meters * writings
    assert len(counted) == apps
    assert set(counted.values()) == {meters * writings}
    evaluations = FeatureEvaluationBucket.objects.values_list("feature_id", "total_count")
    assert sorted(evaluations) == [(1, 2 * meters * writings)] * apps + [(2, meters * writings)] * apps


def test_write__thousands_of_rows__few_statements(meter: Meter) -> None:
    for environment in range(1, 2_501):
        meter.counters.request(environment, Resource.FLAGS, labels.NONE)
    with CaptureQueriesContext(connection) as queries:
        meter.write()
    assert sum("INSERT" in query["sql"] for query in queries) == 3
    assert APIUsageBucket.objects.count() == 2_500
    with CaptureQueriesContext(connection) as queries:
        meter.write()
    assert len(queries) == 0, "nothing was counted"


def test_write__database_unavailable__kept_and_written_once_later(meter: Meter, failing_store: FailingStore) -> None:
    for _ in range(3):
        meter.counters.request(1, Resource.FLAGS, labels.NONE)
        with pytest.raises(OperationalError):
            meter.write()
    failing_store.unavailable = False
    meter.counters.request(1, Resource.FLAGS, labels.NONE)
    meter.write()
    meter.write()
    assert stored_requests() == {(1, 1, "{}"): 4}


def test_write__second_statement_fails__nothing_written(meter: Meter) -> None:
    meter.counters.request(1, Resource.FLAGS, labels.NONE)
    # Too large for the column.
    meter.counters.evaluations(1, {1: 2**70}, labels.NONE)
    with pytest.raises(OverflowError):
        meter.write()
    assert stored_requests() == {}
    assert len(meter.counters.take()) == 2


def test_thread__database_unavailable__one_failure_and_one_recovery_are_logged(
    meter: Meter, settings: Any, failing_store: FailingStore
) -> None:
    settings.API_USAGE_CACHE_SECONDS = 0.01
    meter.thread.pauses = (0.01, 0.01)
    meter.counters.request(1, Resource.FLAGS, labels.NONE)
    with capture_logs() as logs:
        meter.thread.start()
        for _ in range(3):
            assert failing_store.failures.acquire(timeout=PATIENCE)
        assert [log["event"] for log in logs] == ["usage_not_written"]
        failing_store.unavailable = False
        meter.thread.stop()
    assert [log["event"] for log in logs] == ["usage_not_written", "usage_written_again"]
    assert stored_requests() == {(1, 1, "{}"): 1}


def test_thread__database_unavailable__pauses_grow(
    meter: Meter, settings: Any, failing_store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_USAGE_CACHE_SECONDS = 0
    waits: list[float | None] = []
    monkeypatch.setattr(workers.random, "uniform", lambda least, most: most)
    monkeypatch.setattr(meter.thread, "_wait", waits.append)
    meter.counters.request(1, Resource.FLAGS, labels.NONE)
    meter.thread.start()
    for _ in range(4):
        assert failing_store.failures.acquire(timeout=PATIENCE)
    failing_store.unavailable = False
    meter.thread.stop()
    assert waits[:4] == [0, 0.5, 1, 2]


def test_thread__stopped__has_written_and_can_be_restarted(meter: Meter) -> None:
    for number in (1, 2):
        meter.thread.start()
        meter.thread.start()
        meter.counters.request(1, Resource.FLAGS, labels.NONE)
        meter.thread.stop()
        meter.thread.stop()
        assert stored_requests() == {(1, 1, "{}"): number}


def test_thread__database_available_again_while_stopping__written(
    meter: Meter, failing_store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "RETRY_SECONDS", 0.01)
    meter.counters.request(1, Resource.FLAGS, labels.NONE)
    meter.thread.start()
    stopping = threading.Thread(target=meter.thread.stop)
    stopping.start()
    assert failing_store.called.wait(PATIENCE)
    failing_store.unavailable = False
    stopping.join()
    assert stored_requests() == {(1, 1, "{}"): 1}


def test_thread__database_unavailable_while_stopping__ends_and_logs_the_loss(
    meter: Meter, failing_store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(metering, "END_SECONDS", 0.1)
    meter.counters.request(1, Resource.FLAGS, labels.NONE)
    with capture_logs() as logs:
        meter.thread.start()
        meter.thread.stop()
    assert ("usage_lost", 1) in [(log["event"], log.get("counts")) for log in logs]


def test_thread__interval__writes_and_removes_old_counts(
    meter: Meter, settings: Any, failing_store: FailingStore
) -> None:
    settings.API_USAGE_CACHE_SECONDS = 0.01
    settings.BUCKETED_ANALYTICS_DATA_RETENTION_DAYS = 40
    for model, subject in ((APIUsageBucket, {"resource": 1}), (FeatureEvaluationBucket, {"feature_id": 1})):
        for age in (39, 40, 41, 400):
            day = TODAY - timedelta(days=age)
            model.objects.create(environment_id=9, day=day, total_count=1, **subject)
    failing_store.unavailable = False
    meter.counters.request(1, Resource.FLAGS, labels.NONE)
    meter.thread.start()
    assert failing_store.called.wait(PATIENCE)
    meter.thread.stop()
    assert stored_requests()[1, 1, "{}"] == 1
    for model in (APIUsageBucket, FeatureEvaluationBucket):
        assert model.objects.filter(environment_id=9).count() == 2


def test_remove_old__database_unavailable__logged_once_a_day(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(day: object) -> None:
        raise OperationalError("the database is unavailable")

    monkeypatch.setattr(store, "remove_before", fail)
    with capture_logs() as logs:
        meter.remove_old()
        meter.remove_old()
    assert [log["event"] for log in logs] == ["old_usage_not_removed"]
