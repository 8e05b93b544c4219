"""Flagsmith's models, by label, read from the database that is written: a replica may lag."""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import QuerySet

from realtime.conf import conf
from realtime.types import EnvironmentID


def rows(label: str) -> "QuerySet[Any]":
    """All rows of the model, those that Flagsmith has marked as deleted too."""
    model: Any = apps.get_model(label)
    queryset: QuerySet[Any] = model._base_manager.using(router.db_for_write(model))
    return queryset.order_by()


def row(label: str, pk: Any) -> Any:
    """The row with this primary key, or None."""
    return rows(label).filter(pk=pk).first() if pk is not None else None


def environments(**lookup: Any) -> Iterable[EnvironmentID]:
    """The primary keys of these environments."""
    return rows(conf.ENVIRONMENT_MODEL).filter(**lookup).values_list("pk", flat=True)
