"""Conditional requests of ``environment-document/``: 304 for the newest version, and for no other."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.utils.http import http_date
from rest_framework.test import APIClient

from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureState
from realtime import runtime
from sdk import read_path
from settings.asgi import django_application
from tests.sdk.conftest import KEY_HEADER
from tests.sdk.test_read_path import NOT_DJANGO, Received, scope, send_request

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PATH = "/api/v1/environment-document/"

# In the past, so that changes of a test get a ``Last-Modified`` that is not in the future.
MOMENT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@pytest.fixture
def clock() -> Iterator[mock.Mock]:
    """The clock that versions are read from. It does not move unless a test sets ``return_value``."""
    with mock.patch("realtime.hosts.timezone.now", return_value=MOMENT + timedelta(milliseconds=100)) as now:
        yield now


@pytest.fixture
def old(environment: Environment, feature: Feature) -> Environment:
    """``environment``, unchanged for hours."""
    long_ago = MOMENT - timedelta(hours=1)
    Environment.objects.filter(pk=environment.pk).update(updated_at=long_ago, last_modified=long_ago.timestamp())
    return environment


class Reader:
    """Reads the document by the read path and by Django, and compares the responses."""

    def __init__(self, key: str) -> None:
        self.key = key

    def read(self, **conditions: str) -> Received:
        headers = [(KEY_HEADER.lower(), self.key), *((n.replace("_", "-"), value) for n, value in conditions.items())]

        async def both() -> tuple[Received, Received]:
            request = scope(PATH, headers)
            received = (
                await send_request(read_path.read_path(NOT_DJANGO), request),
                await send_request(django_application, request),
            )
            await runtime.current().close()
            return received

        by_read_path, by_django = asyncio.run(both())
        assert by_read_path == by_django
        return by_read_path

    def date(self) -> str:
        """``If-Modified-Since`` of Flagsmith's Edge Proxy."""
        document = self.document()
        return http_date(datetime.fromisoformat(document["updated_at"]).timestamp())

    def document(self) -> Any:
        return Client().get(PATH, headers={KEY_HEADER: self.key}).json()


@pytest.fixture
def reader(old: Environment) -> Reader:
    return Reader(EnvironmentAPIKey.objects.create(environment=old, name="proxy").key)


def toggle(state: FeatureState) -> None:
    state.enabled = not state.enabled
    state.save()


def test_document__unchanged__304_by_etag_and_by_both_dates(reader: Reader, state: FeatureState, clock: object) -> None:
    toggle(state)
    status, headers, _ = reader.read()
    assert (status, headers["cache-control"]) == (200, "private, no-cache")
    assert headers["last-modified"] == http_date(MOMENT.timestamp()) == reader.date()

    for conditions in (
        {"if_none_match": headers["etag"]},
        {"if_none_match": f'"other", {headers["etag"].removeprefix("W/")}'},
        {"if_none_match": "*"},
        {"if_modified_since": headers["last-modified"]},
        {"if_none_match": headers["etag"], "if_modified_since": http_date(0)},
    ):
        status, headers_304, empty = reader.read(**conditions)
        assert (status, empty) == (304, b""), conditions
        assert {"content-length", "content-type"}.isdisjoint(headers_304)
        compared = ("etag", "last-modified", "cache-control", "vary", "x-flagsmith-document-updated-at")
        assert {name: headers_304[name] for name in compared} == {name: headers[name] for name in compared}


def test_document__changes_within_one_second__older_validators_give_200(
    reader: Reader, state: FeatureState, clock: mock.Mock, old: Environment, override: Callable[..., FeatureState]
) -> None:
    """Some changes are silent: an identity override changes the document without a new ``updated_at``."""
    of_ada = override(state.feature, "a", identity=old.identities.create(identifier="ada"))
    older: list[dict[str, str]] = []
    for number, changed in enumerate((state, state, of_ada, state, of_ada, of_ada, state)):
        value = changed.feature_state_value
        value.value = number
        value.save()
        status, headers, body = reader.read()
        assert status == 200
        assert [reader.read(**conditions)[::2] for conditions in older] == [(200, body)] * len(older)
        etag, date = {"if_none_match": headers["etag"]}, {"if_modified_since": headers["last-modified"]}
        assert (reader.read(**etag)[0], reader.read(**date)[0]) == (304, 304)
        older += [etag, date, {"if_modified_since": reader.date()}]


def test_document__next_second__304_by_date_again(reader: Reader, state: FeatureState, clock: mock.Mock) -> None:
    toggle(state)
    toggle(state)
    assert reader.read(if_modified_since=reader.date())[0] == 200
    clock.return_value = MOMENT + timedelta(seconds=5.5)
    toggle(state)
    assert reader.read(if_modified_since=reader.date())[0] == 304


def test_document__date_in_the_future__no_last_modified_yet(reader: Reader, state: FeatureState) -> None:
    """Many changes within the current second move the date into the future."""
    for _ in range(50):
        toggle(state)
    status, headers, _ = reader.read()
    assert (status, "last-modified" in headers) == (200, False)
    date = Environment.objects.values_list("last_modified", flat=True).get()
    assert date > time.time()
    assert reader.read(if_modified_since=http_date(date))[0] == 200


def test_document__changed_without_its_date__no_304_by_date(reader: Reader, state: FeatureState, clock: object) -> None:
    toggle(state)
    before = reader.read()[1]["last-modified"]
    Environment.objects.update(updated_at=MOMENT + timedelta(seconds=2), revision=1_000)
    status, headers, _ = reader.read(if_modified_since=before)
    assert (status, "last-modified" in headers) == (200, False)


@pytest.mark.parametrize(
    "conditions",
    [
        {"if_none_match": "nonsense"},
        {"if_none_match": '"", W/"x"'},
        {"if_modified_since": "yesterday"},
        {"if_modified_since": ""},
        {"if_modified_since": http_date(4_000_000_000)},
        {"if_modified_since": http_date(0)},
    ],
)
def test_document__other_conditions__200(reader: Reader, state: FeatureState, conditions: dict[str, str]) -> None:
    toggle(state)
    assert reader.read(**conditions)[0] == 200


def test_document__etag_differs_and_date_matches__200(reader: Reader, state: FeatureState, clock: object) -> None:
    toggle(state)
    assert reader.read(if_none_match='"other"', if_modified_since=reader.date())[0] == 200


async def test_flags__with_conditions__200(environment: Environment, reader: Reader, closed_runtime: None) -> None:
    headers = [(KEY_HEADER.lower(), reader.key), ("if-none-match", "*")]
    status, received_headers, _ = await send_request(read_path.read_path(NOT_DJANGO), scope("/api/v1/flags/", headers))
    assert (status, "etag" in received_headers) == (200, False)


def test_document_of_admin_api__unchanged__304_by_etag(admin: APIClient, old: Environment, reader: Reader) -> None:
    path = f"/api/v1/environments/{old.api_key}/document/"
    etag = admin.get(path).headers["ETag"]
    assert etag == reader.read()[1]["etag"]
    assert admin.get(path, headers={"If-None-Match": etag}).status_code == 304


async def test_head__with_conditions__304(reader: Reader, closed_runtime: None) -> None:
    headers = [(KEY_HEADER.lower(), reader.key)]
    _, received_headers, _ = await send_request(read_path.read_path(django_application), scope(PATH, headers, "HEAD"))
    conditional = scope(PATH, [*headers, ("if-none-match", received_headers["etag"])], "HEAD")
    status, received_headers, body = await send_request(read_path.read_path(django_application), conditional)
    assert (status, body, "content-length" in received_headers) == (304, b"", False)
