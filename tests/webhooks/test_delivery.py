"""Delivery to real receivers, by deliverers in threads of this process."""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient
from structlog.testing import capture_logs

from environments.models import Environment, Webhook
from features.models import FeatureState
from tests.support.receiver import PATIENCE, Receiver
from tests.webhooks.conftest import delivering
from webhooks.deliverer import Deliverer, Senders, wake
from webhooks.delivery import WebhookID, claim, prune
from webhooks.models import Delivery, EventType

pytestmark = pytest.mark.django_db(transaction=True)

AddDelivery = Callable[..., Delivery]


@pytest.fixture(autouse=True)
def poll_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.deliverer.POLL_SECONDS", 0.05)


@pytest.fixture
def webhook(environment: Environment, receiver: Receiver) -> Webhook:
    return Webhook.objects.create(environment=environment, url=receiver.url, secret="s")


@pytest.fixture
def add_delivery(webhook: Webhook) -> AddDelivery:
    """Adds a delivery that is due now, to ``webhook`` unless another one is given."""

    def add(number: int = 0, **columns: Any) -> Delivery:
        columns = {"environment_webhook": webhook, "due_at": timezone.now(), **columns}
        body = f'{{"number": {number}}}'
        delivery = Delivery.objects.create(event_type=EventType.FLAG_UPDATED, body=body, **columns)
        wake()
        return delivery

    return add


@pytest.fixture
def toggle(admin: APIClient, environment: Environment, state: FeatureState) -> Callable[[bool], Any]:
    path = f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/"
    return lambda enabled: admin.put(path, {"enabled": enabled}, "json")


def finished(*deliveries: Delivery, timeout: float = PATIENCE) -> list[Delivery]:
    """The rows of these deliveries, once all of them are finished."""
    deadline = time.monotonic() + timeout
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])
    while rows.filter(finished_at=None).exists():
        assert time.monotonic() < deadline, list(rows.values())
        time.sleep(0.01)
    return list(rows)


def test_flag__changed__signed_and_delivered_after_the_commit(
    deliverer: Deliverer, receiver: Receiver, webhook: Webhook, toggle: Callable[[bool], Any]
) -> None:
    assert toggle(True).status_code == 200
    received = receiver.next()
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["X-Flagsmith-Signature"] == hmac.new(b"s", received.body, hashlib.sha256).hexdigest()
    assert received.json()["data"]["new_state"]["enabled"] is True
    (delivery,) = finished(*Delivery.objects.all())
    assert received.headers["X-Flagsmith-Delivery"] == str(delivery.uuid)
    assert (delivery.delivered, delivery.status, delivery.attempts, delivery.due_at) == (True, 200, 1, None)


def test_flag__change_rolled_back__not_delivered(
    deliverer: Deliverer, receiver: Receiver, webhook: Webhook, toggle: Callable[[bool], Any], add_delivery: AddDelivery
) -> None:
    with transaction.atomic():
        assert toggle(True).status_code == 200
        transaction.set_rollback(True)
    finished(add_delivery(7))
    assert [received.json() for received in receiver.rest()] == [{"number": 7}]


@override_settings(WEBHOOKS_BACKOFF_SECONDS="0.01")
def test_receiver__fails_three_times__retried_with_the_same_delivery_id(
    deliverer: Deliverer, receiver: Receiver, add_delivery: AddDelivery
) -> None:
    receiver.answers.extend([500, 302, 404])
    (delivery,) = finished(add_delivery())
    assert (delivery.delivered, delivery.attempts, delivery.status, delivery.error) == (True, 4, 200, "")
    requests = receiver.rest()
    assert {(request.method, request.path) for request in requests} == {("POST", "/hook")}
    assert len({request.headers["X-Flagsmith-Delivery"] for request in requests}) == 1
    assert len(requests) == 4


@override_settings(WEBHOOKS_BACKOFF_SECONDS="0.01", WEBHOOKS_ATTEMPTS="3")
def test_receiver__fails_at_each_attempt__given_up_and_logged_once(
    receiver: Receiver, webhook: Webhook, add_delivery: AddDelivery
) -> None:
    receiver.answers.extend([500] * 3)
    Webhook.objects.update(url=receiver.url.replace("http://", "http://user:password@"))
    with capture_logs() as logs, delivering():
        (delivery,) = finished(add_delivery())
    assert (delivery.delivered, delivery.attempts, delivery.status, delivery.due_at) == (False, 3, 500, None)
    (entry,) = [entry for entry in logs if entry["event"] == "webhook_given_up"]
    assert (entry["log_level"], entry["environment_webhook"], entry["attempts"]) == ("warning", webhook.pk, 3)
    assert "password" not in str(entry)


def send_endless_header(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def send_endless_body(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"x" * 65_536)


def close_connection(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def send_no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"no HTTP at all\r\n\r\n")


@override_settings(WEBHOOKS_TIMEOUT_SECONDS="0.4", WEBHOOKS_ATTEMPTS="1")
@pytest.mark.parametrize("answer", [send_endless_header, None])
def test_receiver__slow__fails_at_the_time_limit(
    deliverer: Deliverer, receiver: Receiver, add_delivery: AddDelivery, answer: Any
) -> None:
    receiver.answers.append(answer or receiver.wait_for_release)
    started = time.monotonic()
    (delivery,) = finished(add_delivery())
    # The receiver responds after ``PATIENCE``.
    assert time.monotonic() - started < PATIENCE / 2
    assert (delivery.delivered, delivery.status, delivery.error) == (False, None, "It took too long.")


@override_settings(WEBHOOKS_ATTEMPTS="1")
def test_receiver__endless_or_malformed_response__delivery_finishes(
    deliverer: Deliverer, receiver: Receiver, add_delivery: AddDelivery
) -> None:
    receiver.answers.append(send_endless_body)
    assert finished(add_delivery())[0].delivered
    receiver.answers.append(close_connection)
    (delivery,) = finished(add_delivery())
    assert (delivery.delivered, delivery.error) == (False, "There was no answer: RemoteProtocolError.")
    receiver.answers.append(send_no_http)
    assert not finished(add_delivery())[0].delivered


def test_url__resolves_to_an_internal_address__given_up_at_once(
    deliverer: Deliverer, webhook: Webhook, add_delivery: AddDelivery
) -> None:
    Webhook.objects.update(url="http://169.254.169.254/latest/meta-data/")
    (delivery,) = finished(add_delivery())
    assert (delivery.delivered, delivery.attempts) == (False, 1)
    assert delivery.error == "The URL leads to an address that is not public."


def test_webhook__disabled_or_deleted_before_the_delivery__delivery_discarded(
    receiver: Receiver, environment: Environment, webhook: Webhook, add_delivery: AddDelivery
) -> None:
    deleted, other = (Webhook.objects.create(environment=environment, url=receiver.url) for _ in range(2))
    discarded = [add_delivery(1), add_delivery(2, environment_webhook=deleted)]
    webhook.enabled = False
    webhook.save()
    # ``delete()`` would delete the delivery too. A concurrent transaction's delivery is not deleted with the webhook.
    Webhook.objects.filter(pk=deleted.pk)._raw_delete("default")
    with delivering():
        finished(add_delivery(3, environment_webhook=other))
    assert [request.json() for request in receiver.rest()] == [{"number": 3}]
    assert not Delivery.objects.filter(pk__in=[delivery.pk for delivery in discarded]).exists()


@override_settings(WEBHOOKS_TIMEOUT_SECONDS="20", WEBHOOKS_BACKOFF_SECONDS="0.01")
def test_receiver__does_not_respond__other_webhooks_are_delivered(
    deliverer: Deliverer, receiver: Receiver, environment: Environment, add_delivery: AddDelivery
) -> None:
    receiver.answers.append(receiver.wait_for_release)
    hanging = add_delivery(0)
    assert receiver.next().json() == {"number": 0}
    waiting = add_delivery(1)
    other = Webhook.objects.create(environment=environment, url=receiver.url)
    finished(*(add_delivery(number, environment_webhook=other) for number in range(2, 6)))
    assert [receiver.next().json()["number"] for _ in range(4)] == [2, 3, 4, 5]
    # One delivery at a time for each webhook, the oldest first.
    assert receiver.rest() == []
    receiver.released.set()
    finished(hanging, waiting)
    # The first request got no response, so it is repeated: before or after the second delivery.
    assert sorted(received.json()["number"] for received in receiver.rest()) == [0, 1]


@override_settings(WEBHOOKS_TIMEOUT_SECONDS="20")
def test_deliverer__ended_during_a_request__releases_the_delivery(
    receiver: Receiver, add_delivery: AddDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.deliverer.END_SECONDS", 0.2)
    receiver.answers.append(receiver.wait_for_release)
    with delivering():
        delivery = add_delivery()
        receiver.next()
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.finished_at) == (0, None)
    with delivering():
        finished(delivery)
    assert receiver.next().json() == {"number": 0}


@override_settings(WEBHOOKS_TIMEOUT_SECONDS="20")
def test_deliverer__request_cannot_be_cancelled__releases_the_delivery(
    receiver: Receiver, add_delivery: AddDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelling, released = threading.Event(), threading.Event()

    async def block_the_loop(self: Senders) -> None:
        cancelling.set()
        released.wait(PATIENCE)

    monkeypatch.setattr("webhooks.deliverer.END_SECONDS", 0.1)
    monkeypatch.setattr("webhooks.deliverer.CANCEL_SECONDS", 0.1)
    monkeypatch.setattr(Senders, "_cancel", block_the_loop)
    receiver.answers.append(receiver.wait_for_release)
    with delivering():
        delivery = add_delivery()
        receiver.next()
    assert cancelling.wait(PATIENCE)
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.finished_at) == (0, None)
    released.set()


@pytest.mark.database
def test_deliverers__three_at_once__each_delivered_once(
    receiver: Receiver, environment: Environment, add_delivery: AddDelivery
) -> None:
    webhooks = [Webhook.objects.create(environment=environment, url=receiver.url) for _ in range(4)]
    added = [add_delivery(number, environment_webhook=webhooks[number % 4]) for number in range(40)]
    with delivering(), delivering(), delivering():
        finished(*added)
    assert sorted(request.json()["number"] for request in receiver.rest()) == list(range(40))
    assert {delivery.attempts for delivery in Delivery.objects.all()} == {1}


@pytest.mark.database
def test_claim__claimed_delivery__not_claimed_again_before_its_lease_ends(
    webhook: Webhook, add_delivery: AddDelivery
) -> None:
    first, second = add_delivery(1), add_delivery(2)
    assert claim(16) == [first]
    assert claim(16) == [second]
    assert claim(16) == []
    Delivery.objects.filter(pk=first.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    (again,) = claim(16)
    assert (again.pk, again.attempts) == (first.pk, 2)


@pytest.mark.database
def test_claim__busy_webhooks__skipped(
    environment: Environment, webhook: Webhook, organisation_webhook: Any, add_delivery: AddDelivery
) -> None:
    other = Webhook.objects.create(environment=environment, url=webhook.url)
    first = add_delivery(1)
    second = add_delivery(2, environment_webhook=other)
    of_organisation = add_delivery(3, environment_webhook=None, organisation_webhook=organisation_webhook)
    assert claim(16, [WebhookID.of(first), WebhookID.of(of_organisation)]) == [second]
    assert claim(16, [WebhookID.of(second)]) == [first, of_organisation]


@override_settings(WEBHOOKS_KEEP_DAYS="2")
def test_prune__finished_before_the_retention_period__deleted(add_delivery: AddDelivery) -> None:
    waiting, new, old = add_delivery(), add_delivery(), add_delivery()
    Delivery.objects.filter(pk=new.pk).update(due_at=None, finished_at=timezone.now() - timedelta(days=1))
    Delivery.objects.filter(pk=old.pk).update(due_at=None, finished_at=timezone.now() - timedelta(days=3))
    prune()
    assert list(Delivery.objects.all()) == [waiting, new]


def test_deliverer__database_fails_twice__recovers_and_logs_once(
    receiver: Receiver, add_delivery: AddDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OperationalError("unavailable"), OperationalError("unavailable")]

    def fail_twice(*args: Any) -> list[Delivery]:
        if failures:
            raise failures.pop()
        return claim(*args)

    monkeypatch.setattr("webhooks.delivery.claim", fail_twice)
    monkeypatch.setattr("webhooks.deliverer.MIN_RETRY_SECONDS", 0.01)
    with capture_logs() as logs, delivering():
        finished(add_delivery())
    events = [entry["event"] for entry in logs]
    assert (events.count("deliverer_failing"), events.count("deliverer_recovered")) == (1, 1)
