"""The outbox: writes deliveries in the transaction of the change, so they are committed or rolled back with it."""

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
from webhooks.changes import FlagChanges, states_of
from webhooks.models import Delivery, EventType


class Event(NamedTuple):
    """An event, and the environment and the organisation whose webhooks receive it; None: that of neither."""

    type: EventType
    data: Any
    environment_id: int | None
    organisation_id: int | None


def enqueue(changes: FlagChanges, changed_by: str | None = None) -> None:
    """Write the deliveries of a transaction's changes, at its end.

    ``changed_by`` is the payloads' field of this name. None: the name of the current actor (``core.actor``).
    """
    events = [*_flag_events(changes, changed_by), *_audit_log_events(changes)]
    if not events:
        return
    own = _webhook_ids(Webhook.objects.all(), "environment", {event.environment_id for event in events})
    shared = _webhook_ids(
        OrganisationWebhook.objects.all(), "organisation", {event.organisation_id for event in events}
    )
    now = timezone.now()
    deliveries = []
    for event in events:
        columns = {"event_type": event.type, "body": payloads.body(event.type, event.data), "due_at": now}
        deliveries += [
            Delivery(environment_webhook_id=webhook_id, **columns) for webhook_id in own.get(event.environment_id, ())
        ]
        deliveries += [
            Delivery(organisation_webhook_id=webhook_id, **columns)
            for webhook_id in shared.get(event.organisation_id, ())
        ]
    Delivery.objects.bulk_create(deliveries)
    transaction.on_commit(deliverer.wake, robust=True)


def _flag_events(changes: FlagChanges, changed_by: str | None) -> Iterator[Event]:
    if not changes.before:
        return
    after = payloads.read(states_of(changes.before))
    name = _actor_name() if changed_by is None else changed_by
    for key, before in changes.before.items():
        change = payloads.change(before, after.get(key), name)
        if change is not None:
            has_own, organisation_id = changes.webhook_owners[key.environment_id]
            yield Event(*change, key.environment_id if has_own else None, organisation_id)


def _audit_log_events(changes: FlagChanges) -> Iterator[Event]:
    """One event for each entry of the audit log. Only organisations' webhooks receive them."""
    if not changes.audit_log_ids or (changes.has_looked_up and not changes.organisations):
        return
    webhooks = OrganisationWebhook.objects.filter(organisation=OuterRef("organisation"), enabled=True)
    entries = AuditLog.objects.filter(Exists(webhooks), pk__in=changes.audit_log_ids).order_by("pk")
    for entry in entries.prefetch_related("author", "environment", "project"):
        data = json.loads(json.dumps(AuditLogSerializer(entry).data, cls=DjangoJSONEncoder))
        yield Event(EventType.AUDIT_LOG_CREATED, data, None, entry.organisation_id)


def _webhook_ids(webhooks: QuerySet[Any], owner: str, ids: Iterable[int | None]) -> dict[int | None, list[int]]:
    """The primary keys of the enabled webhooks of these owners, by owner. ``owner`` names the foreign key."""
    by_owner: dict[int | None, list[int]] = {}
    owner_ids = [pk for pk in ids if pk is not None]
    if owner_ids:
        rows = webhooks.filter(enabled=True, **{f"{owner}__in": owner_ids}).order_by("pk")
        for pk, owner_id in rows.values_list("pk", owner):
            by_owner.setdefault(owner_id, []).append(pk)
    return by_owner


def _actor_name() -> str:
    """The e-mail address or the master API key's name of the current actor; empty for the system."""
    current = actor.current()
    if current is None:
        return ""
    if current.author_id is not None:
        return FFAdminUser.objects.values_list("email", flat=True).get(pk=current.author_id)
    if current.master_api_key_id is not None:
        return MasterAPIKey.objects.values_list("name", flat=True).get(pk=current.master_api_key_id)
    return ""
