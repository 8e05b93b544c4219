"""What is to be delivered, written in the transaction of the change: kept or undone with it."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from api_keys.models import MasterAPIKey
from audit.models import AuditLog
from audit.serializers import AuditLogSerializer
from core import actor
from environments.models import Webhook
from organisations.models import OrganisationWebhook
from users.models import FFAdminUser
from webhooks import deliverer, payloads
from webhooks.changes import Changes, at
from webhooks.models import Delivery, EventType


class Event(NamedTuple):
    """What there is to tell, and whose webhooks are to hear it."""

    type: EventType
    data: Any
    environment_id: int | None
    organisation_id: int | None


def enqueue(changes: Changes, changed_by: str | None = None) -> None:
    """Write the deliveries of a transaction's changes, at its end.

    ``changed_by`` is whom webhooks are told of: by default whoever acts (``core.actor``).
    """
    events = [*_flags(changes, changed_by), *_entries(changes)]
    if not events:
        return
    own = _by_owner(Webhook.objects.all(), "environment", {each.environment_id for each in events})
    shared = _by_owner(OrganisationWebhook.objects.all(), "organisation", {each.organisation_id for each in events})
    now = timezone.now()
    deliveries = []
    for event in events:
        row = {"event_type": event.type, "body": payloads.body(event.type, event.data), "due_at": now}
        ours, theirs = own.get(event.environment_id, ()), shared.get(event.organisation_id, ())
        deliveries += [Delivery(environment_webhook_id=pk, **row) for pk in ours]
        deliveries += [Delivery(organisation_webhook_id=pk, **row) for pk in theirs]
    Delivery.objects.bulk_create(deliveries)
    transaction.on_commit(deliverer.wake, robust=True)


def _flags(changes: Changes, changed_by: str | None) -> Iterator[Event]:
    if not changes.before:
        return
    after = payloads.read(at(changes.before))
    who = _name() if changed_by is None else changed_by
    for place, before in changes.before.items():
        told = payloads.change(before, after.get(place), who)
        if told is not None:
            own, organisation_id = changes.listeners[place.environment_id]
            yield Event(*told, place.environment_id if own else None, organisation_id)


def _entries(changes: Changes) -> Iterator[Event]:
    """Of the log, which only organisations' webhooks hear of."""
    if not changes.entries or (changes.asked and not changes.organisations):
        return
    listening = OrganisationWebhook.objects.filter(organisation=OuterRef("organisation"), enabled=True)
    entries = AuditLog.objects.filter(Exists(listening), pk__in=changes.entries).order_by("pk")
    for entry in entries.prefetch_related("author", "environment", "project"):
        data = json.loads(json.dumps(AuditLogSerializer(entry).data, cls=DjangoJSONEncoder))
        yield Event(EventType.AUDIT_LOG_CREATED, data, None, entry.organisation_id)


def _by_owner(webhooks: QuerySet[Any], owner: str, ids: Iterable[int | None]) -> dict[int | None, list[int]]:
    """The enabled webhooks of these, by whose they are."""
    found: dict[int | None, list[int]] = {}
    wanted = [pk for pk in ids if pk is not None]
    if wanted:
        rows = webhooks.filter(enabled=True, **{f"{owner}__in": wanted}).order_by("pk")
        for pk, of in rows.values_list("pk", owner):
            found.setdefault(of, []).append(pk)
    return found


def _name() -> str:
    """Whoever acts, as webhooks are told: an e-mail address, or the name of a master API key."""
    who = actor.current()
    if who is None:
        return ""
    if who.author_id is not None:
        return FFAdminUser.objects.values_list("email", flat=True).get(pk=who.author_id)
    if who.master_api_key_id is not None:
        return MasterAPIKey.objects.values_list("name", flat=True).get(pk=who.master_api_key_id)
    return ""
