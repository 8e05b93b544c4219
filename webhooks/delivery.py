"""The queue of deliveries in the database: claims those that are due, and stores their outcomes."""

import random
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog
from django.db import transaction
from django.db.models import F, Min, Q, QuerySet
from django.utils import timezone

from environments.models import Webhook
from organisations.models import OrganisationWebhook
from webhooks.conf import conf
from webhooks.models import Delivery
from webhooks.sending import Outcome

logger = structlog.get_logger(__name__)

LEASE_MARGIN_SECONDS = 20.0
"""The lease of a claimed delivery ends this long after its time limit. Then another process may claim it."""

MAX_BACKOFF_SECONDS = 3_600.0

PRUNE_BATCH_SIZE = 1_000


class WebhookID(NamedTuple):
    """The primary key of an environment's or an organisation's webhook. The other one is None."""

    environment_webhook: int | None
    organisation_webhook: int | None

    @classmethod
    def of(cls, delivery: Delivery) -> "WebhookID":
        return cls(delivery.environment_webhook_id, delivery.organisation_webhook_id)


def claim(limit: int, busy: Collection[WebhookID] = ()) -> list[Delivery]:
    """Claim due deliveries: the oldest of each webhook, except for webhooks that are ``busy``.

    With one delivery at a time for each webhook, a receiver that does not respond delays only its own deliveries. No
    other process claims a delivery before its lease ends. The caller calls ``finish`` for each.
    """
    due = Delivery.objects.filter(due_at__lte=timezone.now())
    if own := [webhook.environment_webhook for webhook in busy if webhook.environment_webhook is not None]:
        due = due.filter(Q(environment_webhook=None) | ~Q(environment_webhook__in=own))
    if shared := [webhook.organisation_webhook for webhook in busy if webhook.organisation_webhook is not None]:
        due = due.filter(Q(organisation_webhook=None) | ~Q(organisation_webhook__in=shared))
    oldest = due.order_by().values("environment_webhook", "organisation_webhook").annotate(oldest=Min("pk"))
    pks = list(oldest.order_by("oldest").values_list("oldest", flat=True)[:limit])
    if not pks:
        return []
    with transaction.atomic():
        now = timezone.now()
        unclaimed = Delivery.objects.filter(pk__in=pks, due_at__lte=now).select_for_update(skip_locked=True)
        claimed = list(unclaimed.order_by("pk"))
        lease = timedelta(seconds=conf.TIMEOUT_SECONDS + LEASE_MARGIN_SECONDS)
        rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in claimed])
        rows.update(due_at=now + lease, attempts=F("attempts") + 1)
    for delivery in claimed:
        delivery.attempts += 1
    return claimed


def webhook(delivery: Delivery) -> Webhook | OrganisationWebhook | None:
    """The delivery's webhook as it is now; None if it was deleted or disabled."""
    if delivery.environment_webhook_id is not None:
        return Webhook.objects.filter(deliveries=delivery.pk, enabled=True).first()
    return OrganisationWebhook.objects.filter(deliveries=delivery.pk, enabled=True).first()


def finish(delivery: Delivery, outcome: Outcome, url: str) -> None:
    """Store the outcome of a claimed delivery: it is delivered, due again later, or given up."""
    now = timezone.now()
    claimed = _claimed(delivery)
    result = {"status": outcome.status, "error": outcome.error[:100]}
    if outcome.delivered:
        claimed.update(due_at=None, finished_at=now, delivered=True, **result)
    elif delivery.attempts < conf.ATTEMPTS and not outcome.permanent:
        claimed.update(due_at=next_attempt(delivery.attempts, now), **result)
    elif claimed.update(due_at=None, finished_at=now, **result):
        _log_given_up(delivery, outcome, url)


def discard(delivery: Delivery) -> None:
    """Delete a claimed delivery whose webhook was deleted or disabled."""
    Delivery.objects.filter(pk=delivery.pk, finished_at=None).delete()


def release(delivery: Delivery) -> None:
    """Let other processes claim a delivery whose request was not completed."""
    _claimed(delivery).update(due_at=timezone.now(), attempts=F("attempts") - 1)


def next_attempt(attempts: int, now: datetime) -> datetime:
    """The time of the attempt after this number of failed ones. A random part of up to a half of the wait is taken off,
    so that deliveries that failed at the same time are not all sent again at the same time."""
    backoff = min(conf.BACKOFF_SECONDS * 2.0 ** (attempts - 1), MAX_BACKOFF_SECONDS)
    return now + timedelta(seconds=backoff * random.uniform(0.5, 1))  # noqa: S311


def prune() -> None:
    """Delete the deliveries that were finished more than ``WEBHOOKS_KEEP_DAYS`` ago."""
    old = Delivery.objects.filter(finished_at__lt=timezone.now() - timedelta(days=conf.KEEP_DAYS)).order_by("pk")
    while pks := list(old.values_list("pk", flat=True)[:PRUNE_BATCH_SIZE]):
        Delivery.objects.filter(pk__in=pks).delete()


def _claimed(delivery: Delivery) -> QuerySet[Delivery]:
    """The delivery's row; none if another process has claimed it since, because the lease has ended."""
    return Delivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts, finished_at=None)


def _log_given_up(delivery: Delivery, outcome: Outcome, url: str) -> None:
    logger.warning(
        "webhook_given_up",
        delivery=str(delivery.uuid),
        environment_webhook=delivery.environment_webhook_id,
        organisation_webhook=delivery.organisation_webhook_id,
        host=urlsplit(url).hostname,  # The other parts of the URL may contain secrets.
        event_type=delivery.event_type,
        attempts=delivery.attempts,
        status=outcome.status,
        error=outcome.error,
    )
