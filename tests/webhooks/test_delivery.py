"""Delivering: real receivers, and deliverers in threads of this process."""

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
from webhooks import delivery as deliveries
from webhooks.deliverer import Deliverer, Senders, wake
from webhooks.delivery import claim, prune
from webhooks.models import Delivery, EventType

pytestmark = pytest.mark.django_db(transaction=True)

Due = Callable[..., Delivery]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next look."""
    monkeypatch.setattr("webhooks.deliverer.LOOK_SECONDS", 0.05)


@pytest.fixture
def webhook(environment: Environment, receiver: Receiver) -> Webhook:
    return Webhook.objects.create(environment=environment, url=receiver.url, secret="s")


@pytest.fixture
def due(webhook: Webhook) -> Due:
    """Something that is to be sent now; to ``webhook`` unless another one is given."""

    def make(number: int = 0, **columns: Any) -> Delivery:
        columns = {"environment_webhook": webhook, "due_at": timezone.now(), **columns}
        made = Delivery.objects.create(event_type=EventType.FLAG_UPDATED, body=f'{{"number": {number}}}', **columns)
        wake()
        return made

    return make


@pytest.fixture
def toggle(admin: APIClient, environment: Environment, state: FeatureState) -> Callable[[bool], Any]:
    path = f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/"
    return lambda enabled: admin.put(path, {"enabled": enabled}, "json")


def finished(*made: Delivery, timeout: float = PATIENCE) -> list[Delivery]:
    """These, as soon as nobody has anything to do with them any more."""
    deadline = time.monotonic() + timeout
    rows = Delivery.objects.filter(pk__in=[each.pk for each in made])
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
    deliverer: Deliverer, receiver: Receiver, webhook: Webhook, toggle: Callable[[bool], Any], due: Due
) -> None:
    with transaction.atomic():
        assert toggle(True).status_code == 200
        transaction.set_rollback(True)
    finished(due(7))
    assert [received.json() for received in receiver.rest()] == [{"number": 7}]


@override_settings(WEBHOOKS_BACKOFF_SECONDS="0.01")
def test_receiver__fails_at_first__tried_again_with_the_same_id(
    deliverer: Deliverer, receiver: Receiver, due: Due
) -> None:
    receiver.answers.extend([500, 302, 404])
    (delivery,) = finished(due())
    assert (delivery.delivered, delivery.attempts, delivery.status, delivery.error) == (True, 4, 200, "")
    received = receiver.rest()
    assert {(each.method, each.path) for each in received} == {("POST", "/hook")}
    assert len({each.headers["X-Flagsmith-Delivery"] for each in received}) == 1
    assert len(received) == 4


@override_settings(WEBHOOKS_BACKOFF_SECONDS="0.01", WEBHOOKS_ATTEMPTS="3")
def test_receiver__fails_for_good__given_up_and_logged_once(receiver: Receiver, webhook: Webhook, due: Due) -> None:
    receiver.answers.extend([500] * 3)
    Webhook.objects.update(url=receiver.url.replace("http://", "http://user:password@"))
    with capture_logs() as logs, delivering():
        (delivery,) = finished(due())
    assert (delivery.delivered, delivery.attempts, delivery.status, delivery.due_at) == (False, 3, 500, None)
    (said,) = [each for each in logs if each["event"] == "webhook_given_up"]
    assert (said["log_level"], said["environment_webhook"], said["attempts"]) == ("warning", webhook.pk, 3)
    assert "password" not in str(said)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Begin an answer, and go on with it for ever, a byte at a time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def flood(handler: BaseHTTPRequestHandler) -> None:
    """An answer without an end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"x" * 65_536)


def break_off(handler: BaseHTTPRequestHandler) -> None:
    """No answer, and the end of the connection."""
    handler.close_connection = True


@override_settings(WEBHOOKS_TIMEOUT_SECONDS="0.4", WEBHOOKS_ATTEMPTS="1")
@pytest.mark.parametrize("answer, error", [(drip, "It took too long."), (None, "It took too long.")])
def test_receiver__slow__not_waited_for(
    deliverer: Deliverer, receiver: Receiver, due: Due, answer: Any, error: str
) -> None:
    receiver.answers.append(answer or receiver.held)
    began = time.monotonic()
    (delivery,) = finished(due())
    # The receiver would be held as long as tests have patience.
    assert time.monotonic() - began < PATIENCE / 2
    assert (delivery.delivered, delivery.status, delivery.error) == (False, None, error)


@override_settings(WEBHOOKS_ATTEMPTS="1")
def test_receiver__answers_in_strange_ways__an_outcome_each(deliverer: Deliverer, receiver: Receiver, due: Due) -> None:
    receiver.answers.append(flood)
    assert finished(due())[0].delivered
    receiver.answers.append(break_off)
    (delivery,) = finished(due())
    assert (delivery.delivered, delivery.error) == (False, "There was no answer: RemoteProtocolError.")
    receiver.answers.append(lambda handler: handler.wfile.write(b"no HTTP at all\r\n\r\n") and None)
    assert not finished(due())[0].delivered


def test_url__leads_inside_by_now__given_up_at_once(deliverer: Deliverer, webhook: Webhook, due: Due) -> None:
    Webhook.objects.update(url="http://169.254.169.254/latest/meta-data/")
    (delivery,) = finished(due())
    assert (delivery.delivered, delivery.attempts) == (False, 1)
    assert delivery.error == "The URL leads to an address that is not public."


def test_webhook__switched_off_or_removed_before_it_is_sent__dropped(
    receiver: Receiver, environment: Environment, webhook: Webhook, due: Due
) -> None:
    removed, sent_to = (Webhook.objects.create(environment=environment, url=receiver.url) for _ in range(2))
    dropped = [due(1), due(2, environment_webhook=removed)]
    webhook.enabled = False
    webhook.save()
    # Raw, as if what is due had been written at the same moment: the removal takes along what it finds.
    Webhook.objects.filter(pk=removed.pk)._raw_delete("default")
    with delivering():
        finished(due(3, environment_webhook=sent_to))
    assert [received.json() for received in receiver.rest()] == [{"number": 3}]
    assert not Delivery.objects.filter(pk__in=[each.pk for each in dropped]).exists()


@override_settings(WEBHOOKS_TIMEOUT_SECONDS="20", WEBHOOKS_BACKOFF_SECONDS="0.01")
def test_receiver__hangs__others_are_served_meanwhile(
    deliverer: Deliverer, receiver: Receiver, environment: Environment, due: Due
) -> None:
    receiver.answers.append(receiver.held)
    hanging = due(0)
    assert receiver.next().json() == {"number": 0}
    waiting = due(1)
    other = Webhook.objects.create(environment=environment, url=receiver.url)
    finished(*(due(number, environment_webhook=other) for number in range(2, 6)))
    assert [receiver.next().json()["number"] for _ in range(4)] == [2, 3, 4, 5]
    # One at a time for each receiver, the oldest first.
    assert receiver.rest() == []
    receiver.released.set()
    finished(hanging, waiting)
    # The one that hung was given no answer, so it comes again: after the other, or before it if it was due by then.
    assert sorted(received.json()["number"] for received in receiver.rest()) == [0, 1]


@override_settings(WEBHOOKS_TIMEOUT_SECONDS="20")
def test_deliverer__ended_while_it_sends__gives_back(
    receiver: Receiver, due: Due, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.deliverer.END_SECONDS", 0.2)
    receiver.answers.append(receiver.held)
    with delivering():
        delivery = due()
        receiver.next()
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.finished_at) == (0, None)
    with delivering():
        finished(delivery)
    assert receiver.next().json() == {"number": 0}


@override_settings(WEBHOOKS_TIMEOUT_SECONDS="20")
def test_deliverer__cannot_break_off_in_time__gives_back(
    receiver: Receiver, due: Due, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, released = threading.Event(), threading.Event()

    async def hang(self: Senders) -> None:
        asked.set()
        released.wait(PATIENCE)

    monkeypatch.setattr("webhooks.deliverer.END_SECONDS", 0.1)
    monkeypatch.setattr("webhooks.deliverer.BREAK_OFF_SECONDS", 0.1)
    monkeypatch.setattr(Senders, "_break_off", hang)
    receiver.answers.append(receiver.held)
    with delivering():
        delivery = due()
        receiver.next()
    assert asked.wait(PATIENCE)
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.finished_at) == (0, None)
    released.set()


@pytest.mark.database
def test_deliverers__three_at_once__each_delivered_once(receiver: Receiver, environment: Environment, due: Due) -> None:
    webhooks = [Webhook.objects.create(environment=environment, url=receiver.url) for _ in range(4)]
    made = [due(number, environment_webhook=webhooks[number % 4]) for number in range(40)]
    with delivering(), delivering(), delivering():
        finished(*made)
    assert sorted(received.json()["number"] for received in receiver.rest()) == list(range(40))
    assert {delivery.attempts for delivery in Delivery.objects.all()} == {1}


@pytest.mark.database
def test_claim__in_somebodys_hand__nobody_elses_until_the_lease_ends(webhook: Webhook, due: Due) -> None:
    first, second = due(1), due(2)
    assert claim(16) == [first]
    assert claim(16) == [second]
    assert claim(16) == []
    Delivery.objects.filter(pk=first.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    (again,) = claim(16)
    assert (again.pk, again.attempts) == (first.pk, 2)


@pytest.mark.database
def test_claim__webhooks_that_are_busy__passed_over(
    environment: Environment, webhook: Webhook, organisation_webhook: Any, due: Due
) -> None:
    other = Webhook.objects.create(environment=environment, url=webhook.url)
    mine = due(1)
    theirs = due(2, environment_webhook=other)
    shared = due(3, environment_webhook=None, organisation_webhook=organisation_webhook)
    busy = [deliveries.WebhookID.of(mine), deliveries.WebhookID.of(shared)]
    assert claim(16, busy) == [theirs]
    assert claim(16, [deliveries.WebhookID.of(theirs)]) == [mine, shared]


@override_settings(WEBHOOKS_KEEP_DAYS="2")
def test_prune__finished_long_ago__removed(due: Due) -> None:
    waiting, new, old = due(), due(), due()
    Delivery.objects.filter(pk=new.pk).update(due_at=None, finished_at=timezone.now() - timedelta(days=1))
    Delivery.objects.filter(pk=old.pk).update(due_at=None, finished_at=timezone.now() - timedelta(days=3))
    prune()
    assert list(Delivery.objects.all()) == [waiting, new]


def test_database__away_for_a_while__goes_on_and_says_so_once(
    receiver: Receiver, due: Due, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OperationalError("away"), OperationalError("away")]

    def fail_at_first(*args: Any) -> list[Delivery]:
        if failures:
            raise failures.pop()
        return claim(*args)

    monkeypatch.setattr("webhooks.delivery.claim", fail_at_first)
    monkeypatch.setattr("webhooks.deliverer.FIRST_RETRY_SECONDS", 0.01)
    with capture_logs() as logs, delivering():
        finished(due())
    said = [each["event"] for each in logs]
    assert (said.count("deliverer_failing"), said.count("deliverer_recovered")) == (1, 1)
