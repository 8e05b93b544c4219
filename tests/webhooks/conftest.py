"""Fixtures for webhooks, their deliveries, a receiver and a deliverer."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from environments.models import Environment, Webhook
from organisations.models import Organisation, OrganisationWebhook
from projects.models import Project
from tests.support.receiver import PATIENCE, Receiver
from webhooks.deliverer import Deliverer
from webhooks.models import Delivery

NewBodies = Callable[[], list[dict[str, Any]]]


def ok(response: Any) -> Any:
    """The content of a response that must be a success."""
    assert response.status_code < 300, response.content
    return response.json() if response.content else None


@pytest.fixture
def states(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/featurestates/"


@pytest.fixture
def features(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/features/"


@pytest.fixture
def webhook(environment: Environment) -> Webhook:
    """A webhook of ``environment``. Nothing is sent to it in tests without a deliverer."""
    return Webhook.objects.create(environment=environment, url="https://hooks.example.com/")


@pytest.fixture
def organisation_webhook(organisation: Organisation) -> OrganisationWebhook:
    return OrganisationWebhook.objects.create(organisation=organisation, url="https://hooks.example.com/all")


@pytest.fixture
def new_bodies(db: None) -> NewBodies:
    """Returns the bodies of the deliveries that were written since its previous call, in order."""
    last_pk = 0

    def read() -> list[dict[str, Any]]:
        nonlocal last_pk
        deliveries = list(Delivery.objects.filter(pk__gt=last_pk).order_by("pk"))
        last_pk = deliveries[-1].pk if deliveries else last_pk
        return [json.loads(delivery.body) for delivery in deliveries]

    return read


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@contextmanager
def delivering() -> Iterator[Deliverer]:
    """A running deliverer, in a thread."""
    deliverer = Deliverer()
    deliverer.start()
    try:
        yield deliverer
    finally:
        assert deliverer.stop(PATIENCE)


@pytest.fixture
def deliverer(transactional_db: None) -> Iterator[Deliverer]:
    with delivering() as deliverer:
        yield deliverer
