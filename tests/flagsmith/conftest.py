"""Fixtures with a Flagsmith. ``scripts/test --flagsmith PATH`` runs their tests with a checkout of Flagsmith."""

import os
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from flagsmith.models import DefaultFlag

from tests.e2e.python_sdk import Client
from tests.flagsmith.beside import Beside, BesideReplicas
from tests.flagsmith.changes import ABSENT
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Tasks
from tests.support.api import AdminAPI, Tenant

Plugged = Beside | BesideReplicas | FlagsmithWithApp
"""A Flagsmith with real-time streams."""

# Synchronous tasks are Flagsmith's for tests, and need another setting of the drop-in server.
KINDS = [
    *product(("drop-in", "app"), Tasks),
    ("replicas", Tasks.PROCESSOR),
    ("replicas", Tasks.THREADS),
]


@pytest.fixture(scope="session")
def checkout() -> Checkout:
    folder = os.environ.get("FLAGSMITH_CHECKOUT")
    if not folder:
        pytest.skip("needs a checkout of Flagsmith: scripts/test --flagsmith PATH")
    return Checkout(Path(folder))


@pytest.fixture(scope="session", params=KINDS, ids=lambda param: f"{param[0]}-{param[1].value.lower()}")
def plugged(
    request: pytest.FixtureRequest, checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plugged]:
    """The drop-in server beside a Flagsmith, the app in a Flagsmith, and replicas, for each task mode."""
    kind, tasks = request.param
    if kind == "app":
        # Each worker has a cache of its own.
        with FlagsmithWithApp(checkout, tasks, {"GUNICORN_WORKERS": "2"}) as flagsmith:
            yield flagsmith
    elif kind == "replicas":
        with BesideReplicas(checkout, tasks, tmp_path_factory.mktemp("drop-in")) as replicas:
            yield replicas
    else:
        with Beside(checkout, tasks, tmp_path_factory.mktemp("drop-in")) as both:
            yield both


@pytest.fixture(scope="module", params=Tasks, ids=lambda tasks: tasks.value.lower())
def app(request: pytest.FixtureRequest, checkout: Checkout) -> Iterator[FlagsmithWithApp]:
    """A Flagsmith with this app in all of its processes, for each way of running tasks."""
    with FlagsmithWithApp(checkout, request.param, {}) as flagsmith:
        yield flagsmith


@pytest.fixture(scope="session")
def api(plugged: Plugged) -> AdminAPI:
    """A client of Flagsmith's Admin API."""
    return AdminAPI.registered(plugged.flagsmith.url)


@pytest.fixture
def tenant(api: AdminAPI, plugged: Plugged) -> Tenant:
    return plugged.flagsmith.tenant(api)


class RealClient(Client):
    """A client for which a feature that does not exist is off."""

    def __init__(self, **options: object) -> None:
        enabled, value = ABSENT
        super().__init__(default_flag_handler=lambda name: DefaultFlag(enabled=enabled, value=value), **options)


@pytest.fixture
def start_client(tenant: Tenant, plugged: Plugged) -> Iterator[Callable[[], Client]]:
    clients: list[Client] = []

    def start() -> Client:
        clients.append(RealClient.of(tenant, plugged.stream_url))
        return clients[-1]

    yield start
    for client in clients:
        client.event_stream_thread.stop()
