"""Who sends what, and what becomes of it. The database is all that the processes that send have in common."""

import random
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog
from django.db import transaction
from django.db.models import F, Min, Q
from django.utils import timezone

from environments.models import Webhook
from organisations.models import OrganisationWebhook
from webhooks.conf import conf
from webhooks.models import Delivery
from webhooks.sending import Outcome

logger = structlog.get_logger(__name__)

LEASE_MARGIN_SECONDS = 20.0
"""A delivery that nobody has finished so long after its time-out is taken for lost with whoever had it in hand."""

LONGEST_BACKOFF_SECONDS = 3_600.0

PRUNED_AT_ONCE = 1_000


class WebhookID(NamedTuple):
    """One of the two is None."""

    of_environment: int | None
    of_organisation: int | None

    @classmethod
    def of(cls, delivery: Delivery) -> "WebhookID":
        return cls(delivery.environment_webhook_id, delivery.organisation_webhook_id)


def claim(limit: int, busy: Collection[WebhookID] = ()) -> list[Delivery]:
    """Take what is due into hand: the oldest of each webhook, but for those that are ``busy``.

    One at a time for each webhook: so a receiver that does not answer holds nobody up but itself. What is claimed is
    nobody else's until its lease ends. Whoever claims calls ``finish``.
    """
    due = Delivery.objects.filter(due_at__lte=timezone.now())
    if own := [webhook.of_environment for webhook in busy if webhook.of_environment is not None]:
        due = due.filter(Q(environment_webhook=None) | ~Q(environment_webhook__in=own))
    if shared := [webhook.of_organisation for webhook in busy if webhook.of_organisation is not None]:
        due = due.filter(Q(organisation_webhook=None) | ~Q(organisation_webhook__in=shared))
    oldest = due.order_by().values("environment_webhook", "organisation_webhook").annotate(oldest=Min("pk"))
    pks = list(oldest.order_by("oldest").values_list("oldest", flat=True)[:limit])
    if not pks:
        return []
    with transaction.atomic():
        now = timezone.now()
        free = Delivery.objects.filter(pk__in=pks, due_at__lte=now).select_for_update(skip_locked=True)
        claimed = list(free.order_by("pk"))
        lease = timedelta(seconds=conf.TIMEOUT_SECONDS + LEASE_MARGIN_SECONDS)
        taken = Delivery.objects.filter(pk__in=[delivery.pk for delivery in claimed])
        taken.update(due_at=now + lease, attempts=F("attempts") + 1)
    for delivery in claimed:
        delivery.attempts += 1
    return claimed


def webhook(delivery: Delivery) -> Webhook | OrganisationWebhook | None:
    """Whom to tell, as it is now; None: it is gone, or switched off."""
    if delivery.environment_webhook_id is not None:
        return Webhook.objects.filter(deliveries=delivery.pk, enabled=True).first()
    return OrganisationWebhook.objects.filter(deliveries=delivery.pk, enabled=True).first()


def finish(delivery: Delivery, outcome: Outcome, url: str) -> None:
    """Keep what came of a claimed delivery: it is done, due again later, or given up."""
    now = timezone.now()
    # If the lease has ended, somebody else may have it in hand by now.
    mine = Delivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts, finished_at=None)
    said = {"status": outcome.status, "error": outcome.error[:100]}
    if outcome.delivered:
        mine.update(due_at=None, finished_at=now, delivered=True, **said)
    elif delivery.attempts < conf.ATTEMPTS and not outcome.hopeless:
        mine.update(due_at=next_attempt(delivery.attempts, now), **said)
    elif mine.update(due_at=None, finished_at=now, **said):
        _log_given_up(delivery, outcome, url)


def drop(delivery: Delivery) -> None:
    """Forget a claimed delivery: nobody wants to hear of it any more."""
    Delivery.objects.filter(pk=delivery.pk, finished_at=None).delete()


def give_back(delivery: Delivery) -> None:
    """Let others have a claimed delivery that was not sent to the end."""
    mine = Delivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts, finished_at=None)
    mine.update(due_at=timezone.now(), attempts=F("attempts") - 1)


def next_attempt(attempts: int, now: datetime) -> datetime:
    """After so many failed ones. By chance up to a half sooner, so that what failed together does not come together."""
    backoff = min(conf.BACKOFF_SECONDS * 2.0 ** (attempts - 1), LONGEST_BACKOFF_SECONDS)
    return now + timedelta(seconds=backoff * random.uniform(0.5, 1))  # noqa: S311


def prune() -> None:
    """Remove what was finished ``WEBHOOKS_KEEP_DAYS`` ago."""
    old = Delivery.objects.filter(finished_at__lt=timezone.now() - timedelta(days=conf.KEEP_DAYS)).order_by("pk")
    while pks := list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        Delivery.objects.filter(pk__in=pks).delete()


def _log_given_up(delivery: Delivery, outcome: Outcome, url: str) -> None:
    logger.warning(
        "webhook_given_up",
        delivery=str(delivery.uuid),
        environment_webhook=delivery.environment_webhook_id,
        organisation_webhook=delivery.organisation_webhook_id,
        host=urlsplit(url).hostname,  # The rest may hold secrets.
        event_type=delivery.event_type,
        attempts=delivery.attempts,
        status=outcome.status,
        error=outcome.error,
    )
