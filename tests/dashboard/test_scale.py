"""Every page of a project with 1,000 features, 200 segments and 50 environments: a dozen queries at most, and quick."""

import time
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from environments.identities.models import Identity
from environments.models import Environment
from features.models import FeatureSegment
from features.workflows.core.models import ChangeRequest
from tests.scale.growth import LARGE, grow

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

QUERIES = 12

# Seconds of the processor for one page, of the best of a few. On an idle core of today most take a third of it.
CPU_SECONDS = 0.1
TIMES = 3

PAGES = get_resolver("dashboard.urls")

# For those who are not signed in, no page of its own, or a question about something that the address alone names.
ELSEWHERE = {
    "sign-in",
    "sign-in-code",
    "sign-up",
    "join",
    "new-password",
    "server-key-revoke",
    "nothing",
    "project",
}


def shown() -> Iterator[str]:
    """The names of the pages that can be looked at: those whose view answers GET."""
    patterns: list[URLPattern | URLResolver] = [PAGES]
    while patterns:
        pattern = patterns.pop()
        if isinstance(pattern, URLResolver):
            patterns.extend(pattern.url_patterns)
        elif hasattr(pattern.callback.view_class, "get") and pattern.name not in ELSEWHERE:
            yield str(pattern.name)


def address(name: str, environment: Environment) -> str:
    """The page's path, about something of the environment that has much to show."""
    override = FeatureSegment.objects.filter(environment=environment).first()
    assert override is not None
    values = {
        "organisation_pk": environment.project.organisation_id,
        "project_pk": environment.project_id,
        "environment_api_key": environment.api_key,
        "feature_pk": override.feature_id,
        "segment_pk": override.segment_id,
        "identity_pk": Identity.objects.filter(environment=environment).values_list("pk", flat=True).first(),
        "change_request_pk": ChangeRequest.objects.filter(environment=environment).values_list("pk", flat=True).first(),
        "entry_pk": environment.project.audit_logs.values_list("pk", flat=True).first(),
        "tag_pk": environment.project.tags.values_list("pk", flat=True).first(),
    }
    [[[template, parameters]], *_] = PAGES.reverse_dict.getlist(name)[0]
    return f"/{template % {each: values[each] for each in parameters}}"


def test_pages__large_project__a_dozen_queries_and_a_tenth_of_a_second(
    browser: Client, environment: Environment
) -> None:
    grow(environment, LARGE)
    too_many, too_slow, failed = {}, {}, {}
    for name in shown():
        path = address(name, environment)
        # What the first one compiles, the others have.
        browser.get(path)
        with CaptureQueriesContext(connection) as captured:
            answer = browser.get(path)
        if answer.status_code != 200:
            failed[path] = answer.status_code
        if len(captured) > QUERIES:
            too_many[path] = [query["sql"] for query in captured.captured_queries]
        best = min(cpu_seconds(browser, path) for _ in range(TIMES))
        if best > CPU_SECONDS:
            too_slow[path] = best
    assert (failed, {path: len(queries) for path, queries in too_many.items()}, too_slow) == ({}, {}, {})


def cpu_seconds(browser: Client, path: str) -> float:
    before = time.process_time()
    browser.get(path)
    return time.process_time() - before
