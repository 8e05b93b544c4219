"""The document cache: never stale, built once, bounded (promise I11).

``CACHE_EXAMPLES`` is the number of generated sequences of operations.
"""

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

from environment_documents import document
from environment_documents.cache import CompiledDocument, EnvironmentCache, environment_cache
from environment_documents.snapshot import snapshot
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureState
from realtime.answers import VERSION_HEADER, Answer
from realtime.reads.answering import answer
from realtime.reads.read import DOCUMENT, FLAGS, IDENTITIES, Read
from realtime.types import epoch_seconds
from sdk import identify
from tests.sdk.conftest import application
from tests.sdk.operations import BEGINNING, OPERATIONS, Tenant
from tests.support.samples import size

EXAMPLES = size("CACHE_EXAMPLES", some=10, many=25)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def version_of(environment: Environment) -> document.Version:
    return document.read_environment_row(environment.pk).version


def build_without_cache(environment: Environment) -> CompiledDocument:
    """Build the document without the cache."""
    with snapshot():
        return CompiledDocument(document.build(document.read_environment_row(environment.pk)))


def queries(call: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        call()
    return len(captured)


def check(environment: Environment) -> None:
    """All responses equal, byte for byte, those built without the cache."""
    key, _ = EnvironmentAPIKey.objects.get_or_create(environment=environment, name="check")
    sdk, server = application(environment.api_key), application(key.key)
    responses_found = [
        sdk.get("/api/v1/flags/"),
        server.get("/api/v1/flags/"),
        server.get("/api/v1/environment-document/"),
        sdk.get("/api/v1/identities/?identifier=ada&transient=true"),
    ]
    if environment.project.organisation.stop_serving_flags:
        assert [response.status_code for response in responses_found] == [403] * 4
        return
    compiled = build_without_cache(environment)
    ada = identify.identify(environment.pk, "ada", [], transient=True, persist_traits=True, may_store=bool)
    expected = [
        answer(read, compiled)
        for read in (Read(FLAGS, False), Read(FLAGS, True), Read(DOCUMENT, True), Read(IDENTITIES, False, None, ada))
    ]
    for response, expected_response in zip(responses_found, expected, strict=True):
        assert response.status_code == 200
        assert response.content == expected_response.body
        assert response.headers[VERSION_HEADER] == epoch_seconds(expected_response.updated_at)


@examples(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_i11_responses__after_any_operations__equal_freshly_built_ones(
    data: st.DataObject, transactional_db: None
) -> None:
    tenant = Tenant(data.draw)
    steps = data.draw(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=12))
    for operation in (*BEGINNING, *steps):
        tenant.perform(operation)
        for environment in tenant.environments().select_related("project__organisation"):
            check(environment)


def test_get__unchanged_environment__one_query_for_the_key(environment: Environment, feature: Feature) -> None:
    sdk = application(environment.api_key)
    paths = ("/api/v1/flags/", "/api/v1/identities/?identifier=ada&transient=true")
    for path in paths:
        assert sdk.get(path).status_code == 200
    assert queries(lambda: sdk.get(paths[0])) == 1
    # One more for the identity.
    assert queries(lambda: sdk.get(paths[1])) == 2


def test_build__many_features__same_number_of_queries(
    environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    make_feature("first")
    few = queries(lambda: build_without_cache(environment))
    for number in range(20):
        make_feature(f"feature-{number}", initial_value="x")
    assert queries(lambda: build_without_cache(environment)) == few


def test_get__changed_environment__rebuilt(environment: Environment, state: FeatureState) -> None:
    before = environment_cache.get(version_of(environment))
    state.enabled = True
    state.save()
    after = environment_cache.get(version_of(environment))
    assert after is not before
    assert (
        b'"enabled":true' in before.flags(False).body,
        b'"enabled":true' in after.flags(False).body,
    ) == (False, True)
    assert environment_cache.get(version_of(environment)) is after


def test_get__silent_change__rebuilt_with_the_same_updated_at(
    environment: Environment, feature: Feature, override: Callable[..., FeatureState]
) -> None:
    before = environment_cache.get(version_of(environment))
    override(feature, "hers", identity=environment.identities.create(identifier="ada"))
    after = environment_cache.get(version_of(environment))
    assert after.version.updated_at == before.version.updated_at
    assert len(after.document.identity_overrides) == 1


def test_get__older_version__returns_the_newest(environment: Environment, state: FeatureState) -> None:
    """The version can change after a request has read it and before it uses the cache."""
    old = version_of(environment)
    environment_cache.get(old)
    state.enabled = True
    state.save()
    new = environment_cache.get(version_of(environment))
    assert environment_cache.get(old) is new


def test_get__concurrent_calls__built_once(
    environment: Environment, feature: Feature, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, barrier = [], threading.Barrier(8)
    build = document.build

    def counted(environment_row: document.EnvironmentRow, **options: Any) -> document.VersionedDocument:
        built.append(environment_row.version)
        return build(environment_row, **options)

    def get(version: document.Version) -> CompiledDocument:
        try:
            barrier.wait()
            return cache.get(version)
        finally:
            connection.close()

    monkeypatch.setattr(document, "build", counted)
    cache, version = EnvironmentCache(), version_of(environment)
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(get, [version] * 8))
    assert built == [version]
    assert len({id(entry) for entry in entries}) == 1


def test_get__inside_a_transaction__not_shared(environment: Environment, state: FeatureState) -> None:
    before = environment_cache.get(version_of(environment))
    with transaction.atomic():
        state.enabled = True
        state.save()
        inside = environment_cache.get(version_of(environment))
        assert b'"enabled":true' in inside.flags(False).body
        transaction.set_rollback(True)
    # The same revision again, with another content.
    state.refresh_from_db()
    state.feature_state_value.value = "other"
    state.feature_state_value.save()
    after = environment_cache.get(version_of(environment))
    assert after.version.revision == inside.version.revision == before.version.revision + 1
    assert b'"enabled":true' not in after.flags(False).body


def test_document__requested_in_a_transaction_that_is_rolled_back__not_shared(
    environment: Environment, feature: Feature, override: Callable[..., FeatureState]
) -> None:
    """A silent change raises only the revision, so another one after the rollback has the same version."""
    key = EnvironmentAPIKey.objects.create(environment=environment, name="server").key
    path = "/api/v1/environment-document/"
    with transaction.atomic():
        override(feature, "hers", identity=environment.identities.create(identifier="ada"))
        rolled_back = version_of(environment)
        assert b'"ada"' in application(key).get(path).content
        transaction.set_rollback(True)
    with transaction.atomic():
        override(feature, "his", identity=environment.identities.create(identifier="bob"))
    assert version_of(environment) == rolled_back
    response = application(key).get(path)
    assert (b'"ada"' in response.content, b'"bob"' in response.content) == (False, True)


def test_get__environment_deleted__raises(environment: Environment) -> None:
    version = version_of(environment)
    environment.delete()
    with pytest.raises(Environment.DoesNotExist):
        environment_cache.get(version)


def test_cache__full__removes_the_least_recently_used(
    environment: Environment, production: Environment, settings: Settings
) -> None:
    third = Environment.objects.create(name="Third", project=environment.project)
    cache, versions = EnvironmentCache(), [version_of(each) for each in (environment, production, third)]
    sizes = [cache.get(version).memory_bytes for version in versions]
    settings.DOCUMENT_CACHE_BYTES = sum(sizes) - 1
    cache = EnvironmentCache()
    first, second = cache.get(versions[0]), cache.get(versions[1])
    assert cache.get(versions[0]) is first
    cache.get(versions[2])
    assert cache.memory_bytes == sizes[0] + sizes[2] <= settings.DOCUMENT_CACHE_BYTES
    assert cache.get(versions[0]) is first
    assert cache.get(versions[1]) is not second


def test_cache__new_version__replaces_the_old_one(environment: Environment, state: FeatureState) -> None:
    cache = EnvironmentCache()
    for enabled in (True, False, True):
        state.enabled = enabled
        state.save()
        compiled = cache.get(version_of(environment))
    assert cache.memory_bytes == compiled.memory_bytes
    cache.clear()
    assert cache.memory_bytes == 0


def test_cache__entry_larger_than_the_limit__served_and_not_cached(
    environment: Environment, feature: Feature, settings: Settings
) -> None:
    settings.DOCUMENT_CACHE_BYTES = 10
    cache = EnvironmentCache()
    assert b"banner" in cache.get(version_of(environment)).flags(False).body
    assert cache.memory_bytes == 0


def test_cache__document_larger_than_the_limit__its_answers_stay_cached(
    environment: Environment, feature: Feature, settings: Settings
) -> None:
    cache, version = EnvironmentCache(), version_of(environment)
    settings.DOCUMENT_CACHE_BYTES = cache.get(version).memory_bytes - 1
    cache.clear()
    flags = cache.get(version).flags(False)
    cached = cache.add_answer(version, "flags", flags)
    # For an identity, which has no shared answer.
    cache.get(version)
    assert cache.find(version) is None
    assert cache.find_answer(version, "flags") is cached
    assert cache.memory_bytes == flags.memory_bytes


def test_add_answer__document_is_cached_later__kept_with_the_memory_of_the_document(environment: Environment) -> None:
    cache, version = EnvironmentCache(), version_of(environment)
    cached = cache.add_answer(version, "flags", Answer(200, b"x" * 1_000))
    compiled = cache.get(version)
    assert cache.find_answer(version, "flags") is cached
    assert cache.find(version) is compiled
    assert cache.memory_bytes == compiled.memory_bytes


def test_add_answer__too_large__not_cached_and_the_others_are(environment: Environment, settings: Settings) -> None:
    settings.DOCUMENT_CACHE_BYTES = 1_500
    cache, version = EnvironmentCache(), version_of(environment)
    small, large = Answer(200, b"x" * 1_000), Answer(200, b"x" * 501)
    cached = cache.add_answer(version, "small", small)
    assert cache.add_answer(version, "large", large).answer is large
    assert cache.find_answer(version, "large") is None
    assert cache.find_answer(version, "small") is cached
    assert cache.memory_bytes == 1_000


def test_add_answer__older_than_the_entry__not_cached(environment: Environment, state: FeatureState) -> None:
    """The evaluation process can send a result after the next version is cached."""
    cache, old = EnvironmentCache(), version_of(environment)
    state.enabled = True
    state.save()
    new = version_of(environment)
    compiled, late = cache.get(new), Answer(200, b"late")
    assert cache.add_answer(old, "flags", late).answer is late
    assert cache.find(new) is compiled
    assert cache.find_answer(old, "flags") is None


def test_memory_bytes__larger_document__larger(environment: Environment, make_feature: Any) -> None:
    small = build_without_cache(environment).memory_bytes
    make_feature("large", initial_value="x" * 10_000)
    assert build_without_cache(environment).memory_bytes > small + 10_000


def test_flags__cache_cleared__same_response(environment: Environment, feature: Feature) -> None:
    sdk: APIClient = application(environment.api_key)
    before = sdk.get("/api/v1/flags/").content
    environment_cache.clear()
    assert sdk.get("/api/v1/flags/").content == before
