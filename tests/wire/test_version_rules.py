"""The versions that SDKs compare: in events, response headers and documents, on real servers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import requests

from realtime.types import epoch_seconds
from tests.support import sse
from tests.support.api import VERSION_HEADER, AdminAPI, Tenant
from tests.support.patience import PATIENCE
from tests.support.server import MOSTLY_UVICORN, MigratedSQLite, ServerProcess


@pytest.fixture(scope="module", params=MOSTLY_UVICORN)
def tenant(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tenant]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp(request.param))
    with ServerProcess(variables, flavour=request.param) as server:
        yield Tenant.create(AdminAPI.registered(server.url))


@pytest.fixture
def feature(tenant: Tenant) -> Iterator[int]:
    feature = tenant.add_feature("counter", initial_value="0")["id"]
    yield feature
    tenant.api.delete(f"projects/{tenant.project}/features/{feature}/")


def port(tenant: Tenant) -> int:
    return int(tenant.api.url.rpartition(":")[2])


def sdk(tenant: Tenant, method: str, path: str, key: str | None = None, **options: Any) -> requests.Response:
    headers = {"X-Environment-Key": key or tenant.environment.key, **options.pop("headers", {})}
    return requests.request(method, f"{tenant.api.url}/api/v1/{path}", headers=headers, timeout=PATIENCE, **options)


def test_t1__after_a_change__event_headers_and_document_hold_the_same_microsecond(tenant: Tenant, feature: int) -> None:
    with sse.connect(port(tenant), tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        tenant.change(feature, enabled=True)
        event = stream.event_after(before)
    version = event.fields["data"].removeprefix('{"updated_at": ').removesuffix("}")
    identity = {"identifier": "ada", "traits": []}
    document = sdk(tenant, "GET", "environment-document/", tenant.environment.server_key)
    assert sdk(tenant, "GET", "flags/").headers[VERSION_HEADER] == version
    assert sdk(tenant, "GET", "identities/?identifier=ada").headers[VERSION_HEADER] == version
    assert sdk(tenant, "POST", "identities/", json=identity).headers[VERSION_HEADER] == version
    assert document.headers[VERSION_HEADER] == version
    assert epoch_seconds(datetime.fromisoformat(document.json()["updated_at"])) == version


def test_t2__many_changes__versions_only_rise(tenant: Tenant, feature: int) -> None:
    with sse.connect(port(tenant), tenant.environment.key) as stream:
        versions = [stream.next_event().updated_at]
        for number in range(1, 11):
            tenant.change(feature, feature_state_value=number)
            versions.append(stream.event_after(versions[-1]).updated_at)
    assert versions == sorted(set(versions))


def test_t3__fetch_on_each_event__never_an_older_state(tenant: Tenant, feature: int) -> None:
    state = tenant.state(feature)["id"]
    path = f"environments/{tenant.environment.key}/featurestates/{state}/"
    with sse.connect(port(tenant), tenant.environment.key) as stream, ThreadPoolExecutor(1) as writer:
        version = stream.next_event().updated_at
        for number in range(1, 31):
            written = writer.submit(tenant.api.put, path, feature_state_value=number)
            version = stream.event_after(version).updated_at
            answer = sdk(tenant, "GET", "flags/?feature=counter")
            assert answer.json()["feature_state_value"] == number
            written.result()


def test_t4__fetches_during_changes__header_is_never_newer_than_the_flags(tenant: Tenant, feature: int) -> None:
    state = tenant.state(feature)["id"]
    path = f"environments/{tenant.environment.key}/featurestates/{state}/"
    seen: list[tuple[Decimal, int]] = []
    done = threading.Event()

    def fetch() -> None:
        is_last = False
        while not is_last:
            # One more after the last change: a slow machine may not have fetched since the first one.
            is_last = done.is_set()
            answer = sdk(tenant, "GET", "flags/")
            values = {flag["feature"]["name"]: flag["feature_state_value"] for flag in answer.json()}
            seen.append((Decimal(answer.headers[VERSION_HEADER]), int(values["counter"])))

    with sse.connect(port(tenant), tenant.environment.key) as stream, ThreadPoolExecutor(2) as readers:
        version = stream.next_event().updated_at
        reading = [readers.submit(fetch) for _ in range(2)]
        versions: dict[Decimal, int] = {}
        for number in range(1, 41):
            tenant.api.put(path, feature_state_value=number)
            version = stream.event_after(version).updated_at
            versions[version] = number
        done.set()
        for reader in reading:
            reader.result()
    labelled = [(versions[header], value) for header, value in seen if header in versions]
    assert labelled
    assert all(value >= number for number, value in labelled)


def test_t5__page_of_another_origin__can_read_the_header(tenant: Tenant) -> None:
    origin = {"Origin": "https://app.example"}
    answer = sdk(tenant, "GET", "flags/", headers=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = answer.headers["Access-Control-Expose-Headers"].lower()
    assert VERSION_HEADER.lower() in exposed


def test_t5__preflight__allows_the_sdks_headers_and_is_cached(tenant: Tenant) -> None:
    sdk_headers = (
        "x-environment-key, content-type, flagsmith-sdk-user-agent, flagsmith-application-name, "
        "flagsmith-application-version"
    )
    preflight = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": sdk_headers,
    }
    answer = requests.options(f"{tenant.api.url}/api/v1/identities/", headers=preflight, timeout=PATIENCE)
    assert answer.status_code == 200
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert all(name in allowed for name in sdk_headers.split(", "))
    assert {"GET", "POST", "OPTIONS"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert int(answer.headers["Access-Control-Max-Age"]) >= 3600
