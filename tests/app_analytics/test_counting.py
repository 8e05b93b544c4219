"""Counting of SDKs' requests, by kind and labels."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from app_analytics import counters, days, labels
from app_analytics.meter import Meter
from app_analytics.models import APIUsageBucket, FeatureEvaluationBucket, Resource
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature
from organisations.models import Organisation
from tests.app_analytics.conftest import TODAY

pytestmark = [pytest.mark.django_db, pytest.mark.database]

TRAIT = {"identity": {"identifier": "ada"}, "trait_key": "plan", "trait_value": "pro"}


class SDK:
    """A client with an environment's keys."""

    def __init__(self, environment: Environment, **headers: str) -> None:
        self.environment = environment
        self.server_key = EnvironmentAPIKey.objects.create(environment=environment, name="test").key
        self.headers = headers

    def call(self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str) -> int:
        """Send a request, and return the status."""
        key = self.environment.api_key if key is None else key
        headers = {"X-Environment-Key": key, **self.headers, **headers}
        call = getattr(APIClient(headers=headers), method)
        return int(call(f"/api/v1/{path}", body, format="json").status_code)


@pytest.fixture
def sdk(environment: Environment) -> SDK:
    return SDK(environment)


def usage(admin: APIClient, organisation: Organisation, query: str = "") -> list[dict[str, Any]]:
    response = admin.get(f"/api/v1/organisations/{organisation.pk}/usage-data/{query}")
    assert response.status_code == 200, response.content
    return list(response.json())


def labelled(**labels: str) -> dict[str, str | None]:
    return {"client_application_name": None, "client_application_version": None, "user_agent": None, **labels}


def test_requests__evaluations_by_ofrep__counted_as_identities(
    meter: Meter, sdk: SDK, admin: APIClient, organisation: Organisation, feature: Feature
) -> None:
    client = APIClient(headers={"X-API-Key": sdk.environment.api_key})
    paths = ("flags", "flags/banner", "flags/unknown")
    body = {"context": {"targetingKey": "ada"}}
    responses = [client.post(f"/ofrep/v1/evaluate/{path}", body, format="json").status_code for path in paths]
    assert responses == [200, 200, 404]
    assert client.post("/ofrep/v1/evaluate/flags", {}, format="json").status_code == 400
    meter.write()
    counted = {"flags": 0, "identities": 4, "traits": 0, "environment_document": 0}
    assert usage(admin, organisation) == [{**counted, "day": str(TODAY), "labels": labelled()}]


def test_requests__of_each_kind__counted_with_any_status(
    meter: Meter, sdk: SDK, admin: APIClient, organisation: Organisation, feature: Feature
) -> None:
    responses = [
        sdk.call("get", "flags/"),
        sdk.call("get", "flags/?feature=banner"),
        sdk.call("get", "flags/?feature=unknown"),
        sdk.call("delete", "flags/"),
        sdk.call("head", "flags/"),
        sdk.call("get", "identities/?identifier=ada"),
        sdk.call("get", "identities/"),
        sdk.call("post", "identities/", {"identifier": "ada", "traits": []}),
        sdk.call("post", "traits/", TRAIT),
        sdk.call("put", "traits/bulk/", [TRAIT]),
        sdk.call("get", "environment-document/", key=sdk.server_key),
    ]
    assert responses == [200, 200, 404, 405, 200, 200, 400, 200, 200, 200, 200]
    organisation.stop_serving_flags = True
    organisation.save()
    assert sdk.call("get", "flags/") == 403
    assert usage(admin, organisation) == []
    meter.write()
    counted = {"flags": 6, "identities": 3, "traits": 2, "environment_document": 1}
    assert usage(admin, organisation) == [{**counted, "day": str(TODAY), "labels": labelled()}]
    assert admin.get(f"/api/v1/organisations/{organisation.pk}/usage-data/total-count/").json() == {"count": 12}


def test_requests__not_billable__not_counted(
    meter: Meter, sdk: SDK, admin: APIClient, organisation: Organisation, feature: Feature
) -> None:
    preflight = {"Origin": "https://example.com", "Access-Control-Request-Method": "GET"}
    responses = [
        sdk.call("get", "flags/", key=""),
        sdk.call("get", "flags/", key="unknown"),
        sdk.call("get", "environment-document/"),
        sdk.call("post", "analytics/flags/", {"banner": 3}),
        APIClient(headers=preflight).options("/api/v1/flags/").status_code,
        admin.get(f"/api/v1/environments/{sdk.environment.api_key}/identities/").status_code,
        admin.get("/health/liveness").status_code,
    ]
    assert responses == [403, 403, 403, 200, 200, 200, 200]
    meter.write()
    assert not APIUsageBucket.objects.exists()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        (
            {
                "Flagsmith-Application-Name": "shop",
                "Flagsmith-Application-Version": "1.2",
                "User-Agent": "flagsmith-python-sdk/6.2.1",
            },
            {
                "client_application_name": "shop",
                "client_application_version": "1.2",
                "user_agent": "flagsmith-python-sdk/6.2.1",
            },
        ),
        (
            {"User-Agent": "Mozilla/5.0", "Flagsmith-SDK-User-Agent": "flagsmith-js-sdk/12.1.2"},
            {"user_agent": "flagsmith-js-sdk/12.1.2"},
        ),
        (
            {"User-Agent": "flagsmith-go-sdk/5.0.0", "Flagsmith-SDK-User-Agent": "flagsmith-js-sdk/12.1.2"},
            {"user_agent": "flagsmith-go-sdk/5.0.0"},
        ),
        ({"User-Agent": "flagsmith-ruby-sdk"}, {"user_agent": "flagsmith-ruby-sdk/unknown"}),
        ({"User-Agent": "flagsmith-ruby-sdk/ with spaces"}, {"user_agent": "flagsmith-ruby-sdk/unknown"}),
        ({"User-Agent": "flagsmith-cobol-sdk/1.0.0", "Flagsmith-Application-Name": ""}, {}),
        ({"Flagsmith-Application-Name": "é" * 5_000}, {"client_application_name": "é" * 200}),
        ({"Flagsmith-Application-Name": "a\0b"}, {"client_application_name": "ab"}),
    ],
    ids=["none", "all", "browser", "both", "no version", "bad version", "unknown SDK", "long", "null character"],
)
def test_labels__from_headers__as_flagsmith_names_them(
    meter: Meter,
    sdk: SDK,
    admin: APIClient,
    organisation: Organisation,
    headers: dict[str, str],
    expected: dict[str, str],
) -> None:
    assert sdk.call("get", "flags/", **headers) == 200
    meter.write()
    (row,) = usage(admin, organisation)
    assert row["labels"] == labelled(**expected)
    scope = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert labels.as_json(labels.from_headers([(b"host", b"x"), *scope])) == expected


def test_labels__header_sent_twice__joined_as_by_django() -> None:
    name = b"flagsmith-application-name"
    assert labels.from_headers([(name, b"shop"), (name, b"app")]) == ("shop,app", "", "")
    assert labels.from_headers([(name, b"x" * 150)] * 2) == ("x" * 150 + "," + "x" * 49, "", "")


def test_labels__several_applications__a_row_each_and_found_by_any_label(
    meter: Meter, sdk: SDK, production: Environment, admin: APIClient, organisation: Organisation
) -> None:
    sdk.call("get", "flags/")
    for _ in range(2):
        sdk.call("get", "flags/", **{"Flagsmith-Application-Name": "shop"})
    for environment in (sdk, SDK(production)):
        environment.call(
            "get",
            "identities/?identifier=ada",
            **{"Flagsmith-Application-Name": "shop", "Flagsmith-Application-Version": "2"},
        )
    meter.write()
    rows = usage(admin, organisation)
    assert [(row["flags"], row["identities"], row["labels"]) for row in rows] == [
        (1, 0, labelled()),
        (2, 0, labelled(client_application_name="shop")),
        (0, 2, labelled(client_application_name="shop", client_application_version="2")),
    ]
    assert usage(admin, organisation, "?client_application_name=shop") == rows[1:]
    assert usage(admin, organisation, "?client_application_name=shop&client_application_version=2") == rows[2:]
    assert usage(admin, organisation, "?client_application_name=sho") == []


def test_labels__over_the_limit__counted_without_labels(
    meter: Meter, sdk: SDK, production: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "MAX_LABEL_SETS", 3)
    for _ in range(2):
        for number in range(6):
            sdk.call("get", "flags/", **{"Flagsmith-Application-Name": f"shop {number}"})
        # The limit is for the whole day, not only for pending counts.
        meter.write()
    SDK(production, **{"Flagsmith-Application-Name": "other"}).call("get", "flags/")
    meter.write()
    counted = APIUsageBucket.objects.values_list("environment_id", "labels", "total_count").order_by("pk")
    expected = [(sdk.environment.pk, {}, 6)]
    expected += [(sdk.environment.pk, {"client_application_name": f"shop {number}"}, 2) for number in range(3)]
    expected += [(production.pk, {"client_application_name": "other"}, 1)]
    assert list(counted) == expected


def test_memory__any_number_of_environments_and_labels__bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_LABEL_SETS_IN_ALL", 50)
    monkeypatch.setattr(counters, "MAX_LABELLED", 60)
    usage_counters = counters.Counters()
    for environment in range(10):
        for number in range(20):
            usage_counters.request(environment, Resource.FLAGS, (f"app {number}", "", ""))
            usage_counters.evaluations(environment, {1: 5, 2: 1}, (f"app {number}", "", ""))
    first = usage_counters.take()
    # 60 with labels, and three without labels for each environment.
    assert len(first) <= 60 + 3 * 10
    assert sum(first.requests.values()) == 200
    assert sum(first.evaluations.values()) == 1_200
    for number in range(100):
        usage_counters.request(1, Resource.FLAGS, (f"application {number}", "", ""))
    second = usage_counters.take()
    assert sum(second.requests.values()) == 100
    assert len({(key[0], key[3]) for key in [*first.requests, *second.requests] if key[3] != labels.NONE}) == 50


def test_days__around_midnight_utc__counted_separately(
    meter: Meter,
    sdk: SDK,
    admin: APIClient,
    organisation: Organisation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    midnight = (days.today() - 1) * days.SECONDS_PER_DAY
    for moment, requests in ((midnight - 0.001, 1), (midnight, 2), (midnight + days.SECONDS_PER_DAY - 0.001, 3)):
        monkeypatch.setattr(days, "time", SimpleNamespace(time=lambda moment=moment: moment))
        for _ in range(requests):
            sdk.call("get", "flags/")
    meter.write()
    before, after = (time.strftime("%Y-%m-%d", time.gmtime(moment)) for moment in (midnight - 1, midnight))
    assert [(row["day"], row["flags"]) for row in usage(admin, organisation)] == [(before, 1), (after, 5)]


def test_count__any_request__no_query(meter: Meter, sdk: SDK, feature: Feature, settings: Any) -> None:
    body = {"banner": 3}
    numbers = []
    for tracking in (False, True):
        settings.ENABLE_API_USAGE_TRACKING = tracking
        with CaptureQueriesContext(
            connection,
        ) as queries:
            sdk.call("get", "flags/", **{"Flagsmith-Application-Name": "shop"})
            sdk.call("post", "analytics/flags/", body)
        numbers.append(len(queries))
    assert numbers[0] == numbers[1]
    assert len(meter.counters.take()) == 2


def test_tracking__off__nothing_counted(meter: Meter, sdk: SDK, feature: Feature, settings: Any) -> None:
    settings.ENABLE_API_USAGE_TRACKING = False
    sdk.call("get", "flags/")
    sdk.call("post", "analytics/flags/", {"banner": 3})
    assert not meter.counters.take()


def test_evaluations__valid_counts_of_known_flags__summed_by_labels(
    meter: Meter,
    sdk: SDK,
    admin: APIClient,
    feature: Feature,
    make_feature: Callable[..., Feature],
    production: Environment,
) -> None:
    other = make_feature("other")
    nonsense = {"unknown": 5, "": 5, "x" * 3_000: 5, "null\0": 5}
    for count in (-1, 0, 2**31, 10**400, 1.5, True, "3", None, [], {}):
        assert sdk.call("post", "analytics/flags/", {"banner": count, **nonsense}) == 200
    assert not meter.counters.take()
    for count in (1, 2, 2**31 - 1):
        assert sdk.call("post", "analytics/flags/", {"banner": count, "other": 1, **nonsense}) == 200
    sdk.call("post", "analytics/flags/", {"banner": 7}, **{"Flagsmith-Application-Name": "shop"})
    SDK(production).call("post", "analytics/flags/", {"banner": 100})
    assert sdk.call("post", "analytics/flags/", [1]) == 400
    meter.write()
    path = f"/api/v1/projects/{feature.project_id}/features/{{}}/evaluation-data/?environment_id={sdk.environment.pk}"
    banner = admin.get(path.format(feature.pk)).json()
    assert banner == [
        {"day": str(TODAY), "count": 2**31 + 2, "labels": labelled()},
        {"day": str(TODAY), "count": 7, "labels": labelled(client_application_name="shop")},
    ]
    assert admin.get(path.format(feature.pk) + "&client_application_name=shop").json() == banner[1:]
    assert [row["count"] for row in admin.get(path.format(other.pk)).json()] == [3]
    assert FeatureEvaluationBucket.objects.count() == 4
