"""Reading the figures: by day and labels, of those environments that there still are, as in Flagsmith."""

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
class Wanted:
    """Which figures somebody asks for. Labels are those that must be there; others may be there too."""

    project_id: int | None = None
    environment_id: int | None = None
    period: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def days(self) -> int:
        """Up to today. Raises NotFound for a billing period: nobody is billed here."""
        if self.period in (CURRENT_BILLING_PERIOD, PREVIOUS_BILLING_PERIOD):
            raise NotFound("No billing periods found for this organisation.")
        return 90 if self.period == NINETY_DAY_PERIOD else DEFAULT_DAYS


def requests(organisation: Organisation, wanted: Wanted) -> list[dict[str, Any]]:
    """Flagsmith's ``usage-data/``: for each day and set of labels the number of each kind of request."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    buckets = _of(organisation, wanted).filter(resource__in=BILLABLE)
    for row in buckets.values("day", "labels", "resource").annotate(count=Sum("total_count")):
        key = _place(row)
        if key not in rows:
            none = {resource.name.lower(): 0 for resource in BILLABLE}
            rows[key] = {**none, "day": row["day"], "labels": row["labels"]}
        rows[key][Resource(row["resource"]).name.lower()] = row["count"]
    return [rows[key] for key in sorted(rows)]


def streams(organisation: Organisation, wanted: Wanted) -> Iterable[Mapping[str, Any]]:
    """The number of streams opened on each day."""
    buckets = _of(organisation, wanted).filter(resource=Resource.STREAMS)
    return buckets.values("day").annotate(count=Sum("total_count")).order_by("day")


def total(organisation: Organisation) -> int:
    """All billable requests of the last 30 days."""
    counted = _of(organisation, Wanted()).filter(resource__in=BILLABLE).aggregate(total=Sum("total_count"))
    return counted["total"] or 0


def evaluations(
    feature: Feature, environment: Environment, days: int, labels: tuple[tuple[str, str], ...]
) -> list[Mapping[str, Any]]:
    """Evaluations of the feature in the environment, for each day and set of labels."""
    buckets = FeatureEvaluationBucket.objects.filter(feature_id=feature.pk, environment_id=environment.pk)
    buckets = _last(buckets, days).filter(**_labelled(labels))
    return sorted(buckets.values("day", "labels").annotate(count=Sum("total_count")), key=_place)


def _of(organisation: Organisation, wanted: Wanted) -> QuerySet[APIUsageBucket]:
    environments = Environment.objects.filter(project__organisation=organisation)
    if wanted.project_id:
        environments = environments.filter(project=wanted.project_id)
    if wanted.environment_id:
        environments = environments.filter(pk=wanted.environment_id)
    buckets = APIUsageBucket.objects.filter(environment_id__in=environments.values("pk"))
    return _last(buckets, wanted.days).filter(**_labelled(wanted.labels))


def _last(buckets: QuerySet[B], days: int) -> QuerySet[B]:
    """Of so many days, today among them."""
    today = timezone.now().date()
    return buckets.filter(day__lte=today, day__gt=today - timedelta(days=days))


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a row stands in its list. Databases do not agree about the order of JSON."""
    return (row["day"], *[row["labels"].get(name, "") for name in NAMES])


def _labelled(labels: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {f"labels__{name}": label for name, label in labels}
