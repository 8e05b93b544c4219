"""Snapshots: all queries see one state of the database, and writers do not wait."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from rest_framework.test import APIClient

from environment_documents.snapshot import snapshot
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureStateValue
from projects.models import Project
from tests.sdk.conftest import application
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def on_another_connection(call: Callable[[], None]) -> None:
    """Run the call on another connection, and wait for it."""

    def run() -> None:
        try:
            call()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result(timeout=PATIENCE)


def rename(project: Project, name: str) -> None:
    Project.objects.filter(pk=project.pk).update(name=name)


def name_of(project: Project) -> str:
    return Project.objects.values_list("name", flat=True).get(pk=project.pk)


def test_snapshot__concurrent_change__not_visible(project: Project) -> None:
    with snapshot():
        assert name_of(project) == "Web"
        # The writer does not wait for the reader.
        on_another_connection(lambda: rename(project, "Other"))
        assert name_of(project) == "Web"
    assert name_of(project) == "Other"


def test_snapshot__concurrent_write_transaction__does_not_wait(project: Project) -> None:
    written, read = threading.Event(), threading.Event()

    def write() -> bool:
        try:
            with transaction.atomic():
                rename(project, "Other")
                written.set()
                return read.wait(timeout=PATIENCE)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        assert written.wait(timeout=PATIENCE)
        with snapshot():
            assert name_of(project) == "Web"
        read.set()
        assert writing.result()


def test_snapshot__ended__connection_can_write(project: Project) -> None:
    with snapshot():
        name_of(project)
    with transaction.atomic():
        assert name_of(project) == "Web"
        # On SQLite, a deferred transaction would fail here if another connection had written meanwhile.
        rename(project, "Other")
    assert name_of(project) == "Other"


def test_snapshot__exception_inside__transaction_ended(project: Project) -> None:
    with pytest.raises(Project.DoesNotExist), snapshot():
        Project.objects.get(name="unknown")
    assert not connection.in_atomic_block
    rename(project, "Other")
    assert name_of(project) == "Other"


def test_snapshot__inside_a_transaction__sees_its_changes(project: Project) -> None:
    with transaction.atomic():
        rename(project, "Other")
        with snapshot():
            assert name_of(project) == "Other"
        rename(project, "Third")
    assert name_of(project) == "Third"


def test_responses__concurrent_writes__each_of_one_version_in_rising_order(
    environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    """One transaction writes the same number to three tables. A response must not contain two numbers."""
    feature = make_feature(initial_value="0", description="0")
    Project.objects.filter(pk=feature.project_id).update(name="0")
    key = EnvironmentAPIKey.objects.create(environment=environment, name="server").key
    rounds, done = 40, threading.Event()

    def write() -> None:
        try:
            for number in range(1, rounds + 1):
                with transaction.atomic():
                    write_everywhere(feature, number)
        finally:
            done.set()
            connection.close()

    def read(path: str) -> list[tuple[float, set[str]]]:
        client, found = application(key), []
        try:
            while not done.is_set():
                found.append(version_and_numbers(client, path))
            return [*found, version_and_numbers(client, path)]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, path) for path in ("flags/", "environment-document/", "identities/?identifier=a")]
        pool.submit(write).result()
        responses = [reader.result() for reader in readers]
    versions: dict[float, set[str]] = {}
    for found in responses:
        assert [version for version, _ in found] == sorted(version for version, _ in found)
        assert found[-1][1] == {str(rounds)}
        for version, numbers in found:
            assert len(numbers) == 1
            assert versions.setdefault(version, numbers) == numbers


def write_everywhere(feature: Feature, number: int) -> None:
    project = Project.objects.get(pk=feature.project_id)
    project.name = str(number)
    project.save()
    value = FeatureStateValue.objects.get(feature_state__feature=feature)
    value.value = number
    value.save()
    feature.description = str(number)
    feature.save()


def version_and_numbers(client: APIClient, path: str) -> tuple[float, set[str]]:
    """The version of a response, and the numbers in it."""
    response = client.get(f"/api/v1/{path}")
    assert response.status_code == 200
    body = response.json()
    if path == "environment-document/":
        (flag,) = body["feature_states"]
        numbers = {body["project"]["name"], flag["feature_state_value"]}
    else:
        (flag,) = body if path == "flags/" else body["flags"]
        numbers = {flag["feature"]["description"], flag["feature_state_value"]}
    return float(response.headers["X-Flagsmith-Document-Updated-At"]), {str(number) for number in numbers}
