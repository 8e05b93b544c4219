"""From memory to the database: nothing lost, nothing twice, whoever writes at the same time."""

import json
import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from app_analytics import labels, store
from app_analytics import meter as metering
from app_analytics.meter import Meter
from app_analytics.models import APIUsageBucket, FeatureEvaluationBucket, Resource
from app_analytics.tally import Counts
from environments.models import Environment
from tests.app_analytics.conftest import TODAY
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def requests() -> dict[tuple[int, int, str], int]:
    rows = APIUsageBucket.objects.values_list("environment_id", "resource", "labels", "total_count")
    return {(environment, resource, json.dumps(told)): count for environment, resource, told, count in rows}


class Failing:
    """A database that takes nothing, until it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = True
        self.asked = threading.Event()
        self._add = store.add
        monkeypatch.setattr(store, "add", self.add)

    def add(self, counts: Counts) -> None:
        self.asked.set()
        if self.away:
            raise OperationalError("the database is away")
        self._add(counts)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    return Failing(monkeypatch)


def test_meters__many_at_once_on_the_same_rows__no_count_lost(environment: Environment) -> None:
    meters, writings, apps = 5, 20, 8
    failures: list[int] = []

    def run(number: int) -> None:
        meter, order = Meter(), random.Random(number)
        try:
            for _ in range(writings):
                for app in order.sample(range(apps), apps):
                    told = (f"app {app}", "", "")
                    meter.tally.request(app % 3 + 1, Resource.FLAGS, told)
                    meter.tally.evaluations(app % 3 + 1, {1: 2, 2: 1}, told)
                meter.tally.stream(environment.api_key)
                if not meter.write():
                    failures.append(number)
            # What did not go in (two that waited for each other, say) goes in with the next.
            assert meter.write()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(meters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    streams = (environment.pk, int(Resource.STREAMS), "{}")
    counted = requests()
    assert counted.pop(streams) == meters * writings
    assert len(counted) == apps
    assert set(counted.values()) == {meters * writings}
    evaluations = FeatureEvaluationBucket.objects.values_list("feature_id", "total_count")
    assert sorted(evaluations) == [(1, 2 * meters * writings)] * apps + [(2, meters * writings)] * apps


def test_write__thousands_of_rows__few_statements(meter: Meter) -> None:
    for environment in range(1, 2_501):
        meter.tally.request(environment, Resource.FLAGS, labels.NONE)
    with CaptureQueriesContext(connection) as queries:
        assert meter.write()
    assert sum("INSERT" in query["sql"] for query in queries) == 3
    assert APIUsageBucket.objects.count() == 2_500
    with CaptureQueriesContext(connection) as queries:
        assert meter.write()
    assert len(queries) == 0, "nothing was counted"


def test_write__database_away__kept_and_written_once_when_it_is_back(meter: Meter, failing: Failing) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            meter.tally.request(1, Resource.FLAGS, labels.NONE)
            assert not meter.write()
        failing.away = False
        meter.tally.request(1, Resource.FLAGS, labels.NONE)
        assert meter.write()
        assert meter.write()
    assert requests() == {(1, 1, "{}"): 4}
    assert [log["event"] for log in logs] == ["usage_not_written", "usage_written_again"]


def test_write__half_of_it_fails__nothing_is_in_the_database(meter: Meter) -> None:
    meter.tally.request(1, Resource.FLAGS, labels.NONE)
    # No such number fits into a column.
    meter.tally.evaluations(1, {1: 2**70}, labels.NONE)
    assert not meter.write()
    assert requests() == {}
    assert len(meter.tally.take()) == 2


def test_thread__stopped__has_written_and_may_start_again(meter: Meter) -> None:
    for number in (1, 2):
        meter.thread.start()
        meter.thread.start()
        meter.tally.request(1, Resource.FLAGS, labels.NONE)
        meter.thread.stop()
        meter.thread.stop()
        assert requests() == {(1, 1, "{}"): number}


def test_thread__database_comes_back_while_it_stops__written(
    meter: Meter, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "RETRY_SECONDS", 0.01)
    meter.tally.request(1, Resource.FLAGS, labels.NONE)
    meter.thread.start()
    stopping = threading.Thread(target=meter.thread.stop)
    stopping.start()
    assert failing.asked.wait(PATIENCE)
    failing.away = False
    stopping.join()
    assert requests() == {(1, 1, "{}"): 1}


def test_thread__database_stays_away__ends_in_time_and_says_what_is_lost(
    meter: Meter, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(metering, "END_SECONDS", 0.1)
    meter.tally.request(1, Resource.FLAGS, labels.NONE)
    with capture_logs() as logs:
        meter.thread.start()
        meter.thread.stop()
    assert ("usage_lost", 1) in [(log["event"], log.get("counts")) for log in logs]


def test_thread__interval__writes_by_itself_and_forgets_what_is_old(
    meter: Meter, settings: Any, failing: Failing
) -> None:
    settings.API_USAGE_CACHE_SECONDS = 0.01
    settings.BUCKETED_ANALYTICS_DATA_RETENTION_DAYS = 40
    for model, subject in ((APIUsageBucket, {"resource": 1}), (FeatureEvaluationBucket, {"feature_id": 1})):
        for age in (39, 40, 41, 400):
            day = TODAY - timedelta(days=age)
            model.objects.create(environment_id=9, day=day, total_count=1, **subject)
    failing.away = False
    meter.tally.request(1, Resource.FLAGS, labels.NONE)
    meter.thread.start()
    assert failing.asked.wait(PATIENCE)
    meter.thread.stop()
    assert requests()[1, 1, "{}"] == 1
    for model in (APIUsageBucket, FeatureEvaluationBucket):
        assert model.objects.filter(environment_id=9).count() == 2


def test_forget__database_away__goes_on(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(day: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(store, "forget_before", fail)
    with capture_logs() as logs:
        meter.forget()
        meter.forget()
    assert [log["event"] for log in logs] == ["old_usage_not_removed"]
