"""Queries of usage counts by day and labels. Deleted environments are left out, as in Flagsmith."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import QuerySet, Sum
from django.utils import timezone
from rest_framework.exceptions import NotFound

from app_analytics.labels import NAMES
from app_analytics.models import BILLABLE, AbstractBucket, APIUsageBucket, FeatureEvaluationBucket, Resource
from environments.models import Environment
from features.models import Feature
from organisations.models import Organisation

CURRENT_BILLING_PERIOD, PREVIOUS_BILLING_PERIOD = "current_billing_period", "previous_billing_period"
NINETY_DAY_PERIOD = "90_day_period"
PERIODS = (CURRENT_BILLING_PERIOD, PREVIOUS_BILLING_PERIOD, NINETY_DAY_PERIOD)

DEFAULT_DAYS = 30

B = TypeVar("B", bound=AbstractBucket)


@dataclass(frozen=True)
class UsageFilter:
    """The filter of a usage query. A row matches ``labels`` if it has all of them."""

    project_id: int | None = None
    environment_id: int | None = None
    period: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def days(self) -> int:
        """The number of days up to today. Raises NotFound for a billing period, because there is no billing."""
        if self.period in (CURRENT_BILLING_PERIOD, PREVIOUS_BILLING_PERIOD):
            raise NotFound("No billing periods found for this organisation.")
        return 90 if self.period == NINETY_DAY_PERIOD else DEFAULT_DAYS


def requests(organisation: Organisation, usage_filter: UsageFilter) -> list[dict[str, Any]]:
    """The number of requests of each kind, by day and labels, in the format of Flagsmith's ``usage-data/``."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    buckets = _buckets(organisation, usage_filter).filter(resource__in=BILLABLE)
    for row in buckets.values("day", "labels", "resource").annotate(count=Sum("total_count")):
        key = _sort_key(row)
        if key not in rows:
            zeros = {resource.name.lower(): 0 for resource in BILLABLE}
            rows[key] = {**zeros, "day": row["day"], "labels": row["labels"]}
        rows[key][Resource(row["resource"]).name.lower()] = row["count"]
    return [rows[key] for key in sorted(rows)]


def streams(organisation: Organisation, usage_filter: UsageFilter) -> Iterable[Mapping[str, Any]]:
    """The number of opened streams by day."""
    buckets = _buckets(organisation, usage_filter).filter(resource=Resource.STREAMS)
    return buckets.values("day").annotate(count=Sum("total_count")).order_by("day")


def total(organisation: Organisation) -> int:
    """The number of billable requests of the last 30 days."""
    counted = _buckets(organisation, UsageFilter()).filter(resource__in=BILLABLE).aggregate(total=Sum("total_count"))
    return counted["total"] or 0


def evaluations(
    feature: Feature, environment: Environment, days: int, labels: tuple[tuple[str, str], ...]
) -> list[Mapping[str, Any]]:
    """The number of evaluations of the feature in the environment, by day and labels."""
    buckets = FeatureEvaluationBucket.objects.filter(feature_id=feature.pk, environment_id=environment.pk)
    buckets = _of_last_days(buckets, days).filter(**_label_filters(labels))
    return sorted(buckets.values("day", "labels").annotate(count=Sum("total_count")), key=_sort_key)


def _buckets(organisation: Organisation, usage_filter: UsageFilter) -> QuerySet[APIUsageBucket]:
    environments = Environment.objects.filter(project__organisation=organisation)
    if usage_filter.project_id:
        environments = environments.filter(project=usage_filter.project_id)
    if usage_filter.environment_id:
        environments = environments.filter(pk=usage_filter.environment_id)
    buckets = APIUsageBucket.objects.filter(environment_id__in=environments.values("pk"))
    return _of_last_days(buckets, usage_filter.days).filter(**_label_filters(usage_filter.labels))


def _of_last_days(buckets: QuerySet[B], days: int) -> QuerySet[B]:
    """The counts of this number of days, including today."""
    today = timezone.now().date()
    return buckets.filter(day__lte=today, day__gt=today - timedelta(days=days))


def _sort_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Day and labels. Not sorted by the database, because SQLite and PostgreSQL order JSON differently."""
    return (row["day"], *[row["labels"].get(name, "") for name in NAMES])


def _label_filters(labels: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {f"labels__{name}": label for name, label in labels}
