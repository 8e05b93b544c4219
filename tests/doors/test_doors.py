"""Each request gets the same answer through every door: status, headers and bytes (promises I3 and I11)."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from django.urls import URLPattern, resolve

from sdk import ofrep_urls, urls
from sdk.views import SDKView
from tests.doors.servers import Answer, Doors, started
from tests.doors.table import ROWS, Row
from tests.metrics.scraped import Scrape
from tests.support.server import MigratedSQLite

# The endpoints and methods that shortcuts answer.
SHORTCUTS = {
    ("sdk-flags", "GET"),
    ("sdk-identities", "GET"),
    ("sdk-identities", "POST"),
    ("sdk-environment-document", "GET"),
    ("ofrep-flags", "POST"),
    ("ofrep-flag", "POST"),
}

# Headers of Django's middleware and of Django REST framework that a relay does not send, or with other values.
MIDDLEWARE = re.compile(
    "allow|vary|x-frame-options|referrer-policy|cross-origin-opener-policy|content-security-policy|access-control-.*"
)

# Fields of flags that are not in an environment document.
NOT_IN_DOCUMENT = ("created_date", "description", "initial_value", "default_enabled", "identity", "feature_segment")

RANDOM_IDENTIFIER = re.compile(rb'"identifier":"[0-9a-f]{32}"')


@pytest.fixture(scope="module")
def doors(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with started(sqlite_template, tmp_path_factory.mktemp("doors")) as doors:
        yield doors


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_request__each_door__same_answer(row: Row, doors: Doors) -> None:
    before = doors.metrics()
    by_connection = without_random(doors.send(doors.connection, row))
    between = doors.metrics()
    by_django = without_random(doors.send(doors.django, row))
    after = doors.metrics()
    by_relay = doors.send(doors.relay, row)

    assert by_connection == by_django
    for door in (doors.daphne, doors.django_on_daphne):
        assert without_random(doors.send(door, row)) == by_django, door.name
    assert by_django.status == row.status
    requests = 1 + len(row.conditions)
    assert [rise("reads", before, between), rise("reads", between, after)] == [requests * (row.by == "shortcut"), 0]
    assert rise("reads_left_to_django", before, between) == requests * (row.by == "left")

    assert by_relay == doors.send(doors.relay_by_asgi, row)
    if row.relay is None:
        assert of_relay(by_relay, row) == without_database(of_relay(by_django, row))
    else:
        assert by_relay.status == row.relay.status
        assert of_relay(by_relay, row) != without_database(of_relay(by_django, row)), "it does not differ"


def test_table__endpoints_and_their_methods__each_has_a_request() -> None:
    patterns = [each for each in (*urls.urlpatterns, *ofrep_urls.urlpatterns) if isinstance(each, URLPattern)]
    views = {each.name: each.callback.view_class for each in patterns}
    assert all(issubclass(view, SDKView) for view in views.values())
    methods = {
        (name, method.upper())
        for name, view in views.items()
        for method in view.http_method_names
        if hasattr(view, method)
    }

    assert methods <= {(endpoint(row), row.method) for row in ROWS}
    assert {(endpoint(row), row.method) for row in ROWS if row.by == "shortcut"} == SHORTCUTS


def endpoint(row: Row) -> str | None:
    path = unquote(urlsplit(row.path).path)
    return resolve(path if path.startswith("/ofrep/") else path.rstrip("/") + "/").url_name


def rise(metric: str, before: Scrape, after: Scrape) -> float:
    """The number that was added to the counter, for all endpoints."""
    name = f"realtime_{metric}_total"
    return sum(value - before.samples[sample] for sample, value in after.samples.items() if sample[0] == name)


def without_random(answer: Answer) -> Answer:
    """The answer without the identifier of an identity that has none."""
    return replace(answer, body=RANDOM_IDENTIFIER.sub(b'"identifier":"random"', answer.body))


def of_relay(answer: Answer, row: Row) -> Answer:
    """The part of an answer in which the relay does not differ: its body is not compressed, and has any length."""
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    # An ETag of OFREP is that of a revision, which only the database has.
    left_out = {"content-length", *(["etag"] if row.path.startswith("/ofrep/") else [])}
    kept = {
        name: value
        for name, value in answer.headers.items()
        if name not in left_out and MIDDLEWARE.fullmatch(name) is None
    }
    return Answer(answer.status, kept, body)


def without_database(answer: Answer) -> Answer:
    """A product's answer in the relay's form: without what is not in a document, and encoded in the same way."""
    if answer.status != 200 or not answer.body or "etag" in answer.headers:
        return answer
    decoded = json.loads(answer.body, object_hook=_of_document)
    return replace(answer, body=json.dumps(decoded, separators=(",", ":"), ensure_ascii=False).encode())


def _of_document(decoded: dict[str, Any]) -> dict[str, Any]:
    decoded |= {name: None for name in NOT_IN_DOCUMENT if name in decoded and "trait_key" not in decoded}
    return decoded | ({"id": None, "transient": False} if "transient" in decoded else {})
