from django.db import models

from core.models import AtomicModel, UUIDModel


class Segment(UUIDModel):
    """The identities whose traits match a tree of rules."""

    name = models.CharField(max_length=2000)
    description = models.TextField(null=True, blank=True)
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="segments")
    feature = models.ForeignKey(
        "features.Feature", on_delete=models.CASCADE, related_name="segments", null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name


class SegmentRule(AtomicModel):
    """A rule of a segment (``segment`` is set), or a rule nested in another rule (``rule`` is set)."""

    class Type(models.TextChoices):
        ALL = "ALL"
        ANY = "ANY"
        NONE = "NONE"

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="rules", null=True, blank=True)
    rule = models.ForeignKey("self", on_delete=models.CASCADE, related_name="rules", null=True, blank=True)
    type = models.CharField(max_length=50, choices=Type.choices)

    class Meta:
        ordering = ["id"]


class Condition(AtomicModel):
    """A comparison of a trait (``property``) with a value, which is stored as text."""

    class Operator(models.TextChoices):
        EQUAL = "EQUAL"
        GREATER_THAN = "GREATER_THAN"
        LESS_THAN = "LESS_THAN"
        LESS_THAN_INCLUSIVE = "LESS_THAN_INCLUSIVE"
        CONTAINS = "CONTAINS"
        GREATER_THAN_INCLUSIVE = "GREATER_THAN_INCLUSIVE"
        NOT_CONTAINS = "NOT_CONTAINS"
        NOT_EQUAL = "NOT_EQUAL"
        REGEX = "REGEX"
        PERCENTAGE_SPLIT = "PERCENTAGE_SPLIT"
        MODULO = "MODULO"
        IS_SET = "IS_SET"
        IS_NOT_SET = "IS_NOT_SET"
        IN = "IN"

    rule = models.ForeignKey(SegmentRule, on_delete=models.CASCADE, related_name="conditions")
    operator = models.CharField(max_length=500, choices=Operator.choices)
    property = models.CharField(max_length=1000, null=True, blank=True)
    value = models.CharField(max_length=1000, null=True, blank=True)
    description = models.TextField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
