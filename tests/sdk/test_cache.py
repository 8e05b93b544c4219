"""What a process keeps of environments: never stale, read once, bounded (promise I11).

``CACHE_EXAMPLES`` is the number of sequences of operations that are tried; 500 make the long version.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework.test import APIClient

from environments.models import Environment, EnvironmentAPIKey
from evaluation import document
from evaluation.cache import DocumentCache, Entry, documents
from evaluation.snapshot import snapshot
from features.models import Feature, FeatureState
from realtime.types import epoch_seconds
from sdk import identify, responses
from tests.sdk.conftest import application
from tests.sdk.operations import BEGINNING, OPERATIONS, Tenant

EXAMPLES = int(os.environ.get("CACHE_EXAMPLES", "10"))

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def version_of(environment: Environment) -> document.Version:
    return document.read_head(environment.pk).version


def fresh(environment: Environment) -> Entry:
    """Read from the database, whatever is kept."""
    with snapshot():
        return Entry(document.build(document.read_head(environment.pk)))


def queries(call: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        call()
    return len(captured)


def check(environment: Environment) -> None:
    """Whatever is answered is, byte for byte, what would be answered if nothing were kept."""
    key, _ = EnvironmentAPIKey.objects.get_or_create(environment=environment, name="check")
    sdk, server = application(environment.api_key), application(key.key)
    found = [
        sdk.get("/api/v1/flags/"),
        server.get("/api/v1/flags/"),
        server.get("/api/v1/environment-document/"),
        sdk.get("/api/v1/identities/?identifier=ada&transient=true"),
    ]
    if environment.project.organisation.stop_serving_flags:
        assert [answer.status_code for answer in found] == [403] * 4
        return
    entry = fresh(environment)
    ada = identify.identify(environment.pk, "ada", [], transient=True, persist_traits=True, may_store=bool)
    expected = [
        responses.flags(entry, server=False),
        responses.flags(entry, server=True),
        responses.document(entry),
        responses.identity(entry, ada, server=False),
    ]
    for answer, right in zip(found, expected, strict=True):
        assert answer.status_code == 200
        assert answer.content == right.body
        assert answer.headers[responses.VERSION_HEADER] == epoch_seconds(right.updated_at)


@examples(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_i11_answers__after_any_operations__equal_freshly_built_ones(
    data: st.DataObject, transactional_db: None
) -> None:
    tenant = Tenant(data.draw)
    steps = data.draw(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=12))
    for operation in (*BEGINNING, *steps):
        tenant.perform(operation)
        for environment in tenant.environments().select_related("project__organisation"):
            check(environment)


def test_entry__unchanged_environment__costs_the_keys_query_alone(environment: Environment, feature: Feature) -> None:
    sdk = application(environment.api_key)
    paths = ("/api/v1/flags/", "/api/v1/identities/?identifier=ada&transient=true")
    for path in paths:
        assert sdk.get(path).status_code == 200
    assert queries(lambda: sdk.get(paths[0])) == 1
    # And the identity's.
    assert queries(lambda: sdk.get(paths[1])) == 2


def test_entry__many_features__as_many_queries(environment: Environment, make_feature: Callable[..., Feature]) -> None:
    make_feature("first")
    few = queries(lambda: fresh(environment))
    for number in range(20):
        make_feature(f"feature-{number}", initial_value="x")
    assert queries(lambda: fresh(environment)) == few


def test_entry__changed_environment__is_built_anew(environment: Environment, state: FeatureState) -> None:
    before = documents.entry(version_of(environment))
    state.enabled = True
    state.save()
    after = documents.entry(version_of(environment))
    assert after is not before
    assert (b'"enabled":true' in before.flags.encoded, b'"enabled":true' in after.flags.encoded) == (False, True)
    assert documents.entry(version_of(environment)) is after


def test_entry__silent_change__is_built_anew_under_the_same_label(
    environment: Environment, feature: Feature, override: Callable[..., FeatureState]
) -> None:
    before = documents.entry(version_of(environment))
    override(feature, "hers", identity=environment.identities.create(identifier="ada"))
    after = documents.entry(version_of(environment))
    assert after.version.updated_at == before.version.updated_at
    assert len(after.document.identity_overrides) == 1


def test_entry__asked_for_an_older_version__is_the_present_one(environment: Environment, state: FeatureState) -> None:
    """Between a request's look at the version and its look into the cache, another may have come."""
    old = version_of(environment)
    documents.entry(old)
    state.enabled = True
    state.save()
    new = documents.entry(version_of(environment))
    assert documents.entry(old) is new


def test_entry__many_ask_at_once__one_builds(
    environment: Environment, feature: Feature, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, all_ask = [], threading.Barrier(8)
    build = document.build

    def counted(head: document.Head, **options: Any) -> document.EnvironmentDocument:
        built.append(head.version)
        return build(head, **options)

    def ask(version: document.Version) -> Entry:
        try:
            all_ask.wait()
            return cache.entry(version)
        finally:
            connection.close()

    monkeypatch.setattr(document, "build", counted)
    cache, version = DocumentCache(), version_of(environment)
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(ask, [version] * 8))
    assert built == [version]
    assert len({id(entry) for entry in entries}) == 1


def test_entry__in_a_transaction__is_not_shared(environment: Environment, state: FeatureState) -> None:
    before = documents.entry(version_of(environment))
    with transaction.atomic():
        state.enabled = True
        state.save()
        inside = documents.entry(version_of(environment))
        assert b'"enabled":true' in inside.flags.encoded
        transaction.set_rollback(True)
    # The same revision once more, with something else in it.
    state.refresh_from_db()
    state.feature_state_value.value = "other"
    state.feature_state_value.save()
    after = documents.entry(version_of(environment))
    assert after.version.revision == inside.version.revision == before.version.revision + 1
    assert b'"enabled":true' not in after.flags.encoded


def test_entry__environment_is_gone__raises(environment: Environment) -> None:
    version = version_of(environment)
    environment.delete()
    with pytest.raises(Environment.DoesNotExist):
        documents.entry(version)


def test_cache__full__forgets_what_was_used_least_recently(
    environment: Environment, production: Environment, settings: Settings
) -> None:
    third = Environment.objects.create(name="Third", project=environment.project)
    cache, versions = DocumentCache(), [version_of(each) for each in (environment, production, third)]
    sizes = [cache.entry(version).size for version in versions]
    settings.DOCUMENT_CACHE_BYTES = sum(sizes) - 1
    cache = DocumentCache()
    first, second = cache.entry(versions[0]), cache.entry(versions[1])
    assert cache.entry(versions[0]) is first
    cache.entry(versions[2])
    assert cache.bytes == sizes[0] + sizes[2] <= settings.DOCUMENT_CACHE_BYTES
    assert cache.entry(versions[0]) is first
    assert cache.entry(versions[1]) is not second


def test_cache__new_version__takes_the_old_ones_place(environment: Environment, state: FeatureState) -> None:
    cache = DocumentCache()
    for enabled in (True, False, True):
        state.enabled = enabled
        state.save()
        entry = cache.entry(version_of(environment))
    assert cache.bytes == entry.size
    cache.clear()
    assert cache.bytes == 0


def test_cache__entry_larger_than_the_limit__is_served_and_not_kept(
    environment: Environment, feature: Feature, settings: Settings
) -> None:
    settings.DOCUMENT_CACHE_BYTES = 10
    cache = DocumentCache()
    assert b"banner" in cache.entry(version_of(environment)).flags.encoded
    assert cache.bytes == 0


def test_size__of_an_entry__grows_with_its_document(environment: Environment, make_feature: Any) -> None:
    small = fresh(environment).size
    make_feature("large", initial_value="x" * 10_000)
    assert fresh(environment).size > small + 10_000


def test_client__any_request__needs_no_cache(environment: Environment, feature: Feature) -> None:
    sdk: APIClient = application(environment.api_key)
    before = sdk.get("/api/v1/flags/").content
    documents.clear()
    assert sdk.get("/api/v1/flags/").content == before
