"""Webhooks, what is due for them, and somebody who gets them."""

import json
import threading
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

Told = Callable[[], list[dict[str, Any]]]


def ok(answer: Any) -> Any:
    """The answer of a call that must succeed."""
    assert answer.status_code < 300, answer.content
    return answer.json() if answer.content else None


@pytest.fixture
def states(environment: Environment) -> str:
    return f"/api/v1/environments/{environment.api_key}/featurestates/"


@pytest.fixture
def features(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/features/"


@pytest.fixture
def webhook(environment: Environment) -> Webhook:
    """One of ``environment`` that nothing is sent to: no test that does without a deliverer sends anything."""
    return Webhook.objects.create(environment=environment, url="https://hooks.example.com/")


@pytest.fixture
def organisation_webhook(organisation: Organisation) -> OrganisationWebhook:
    return OrganisationWebhook.objects.create(organisation=organisation, url="https://hooks.example.com/all")


@pytest.fixture
def told(db: None) -> Told:
    """What has become due since the last call, as bodies, in order."""
    seen = 0

    def since() -> list[dict[str, Any]]:
        nonlocal seen
        rows = list(Delivery.objects.filter(pk__gt=seen).order_by("pk"))
        seen = rows[-1].pk if rows else seen
        return [json.loads(row.body) for row in rows]

    return since


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@contextmanager
def delivering() -> Iterator[Deliverer]:
    """A deliverer in a thread of its own, ended at the end."""
    deliverer = Deliverer()
    thread = threading.Thread(target=deliverer.run, daemon=True)
    thread.start()
    try:
        yield deliverer
    finally:
        deliverer.end()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def deliverer(transactional_db: None) -> Iterator[Deliverer]:
    with delivering() as deliverer:
        yield deliverer
