import uuid

from django.db import models
from django.db.models import Q


class EventType(models.TextChoices):
    """The types of webhook events. (Flagsmith has one more, of feature versioning v2.)"""

    FLAG_UPDATED = "FLAG_UPDATED"
    FLAG_DELETED = "FLAG_DELETED"
    AUDIT_LOG_CREATED = "AUDIT_LOG_CREATED"


class Delivery(models.Model):
    """An event for one webhook: written in the transaction of the change, sent after its commit.

    ``due_at`` is the time of the next attempt, and null once the delivery is finished. A process that sends it first
    moves ``due_at`` to the end of its lease: if the process exits, another one sends the delivery then.

    The foreign keys have no database constraint: a flag's change must not fail because the webhook is deleted at the
    same moment. The sender checks that the webhook still exists.
    """

    id = models.BigAutoField(primary_key=True)
    environment_webhook = models.ForeignKey(
        "environments.Webhook", on_delete=models.CASCADE, related_name="deliveries", null=True, db_constraint=False
    )
    organisation_webhook = models.ForeignKey(
        "organisations.OrganisationWebhook",
        on_delete=models.CASCADE,
        related_name="deliveries",
        null=True,
        db_constraint=False,
    )
    uuid = models.UUIDField(default=uuid.uuid4, editable=False)
    event_type = models.CharField(max_length=30, choices=EventType.choices)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    delivered = models.BooleanField(default=False)
    status = models.IntegerField(null=True)
    error = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.CheckConstraint(
                condition=Q(environment_webhook=None, organisation_webhook__isnull=False)
                | Q(environment_webhook__isnull=False, organisation_webhook=None),
                name="delivery_to_one_webhook",
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="delivery_due"),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="delivery_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.uuid}"
