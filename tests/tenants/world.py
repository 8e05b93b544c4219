"""The rows of a tenant, and how to detect that another tenant reached them."""

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Model

from users.models import FFAdminUser

# Columns that are the same for both tenants on purpose, have no space for a marker, or have a meaning.
SAME = frozenset(
    {"name", "label", "identifier", "trait_key", "property", "operator", "key", "password", "color", "method", "status"}
)


def tables() -> list[type[Model]]:
    return list(apps.get_models(include_auto_created=True))


def all_keys() -> dict[type[Model], set[Any]]:
    return {model: set(model._base_manager.values_list("pk", flat=True)) for model in tables()}


class Property:
    """The rows of a tenant: those that do not exist in ``before``."""

    def __init__(self, before: dict[type[Model], set[Any]]) -> None:
        self.keys = {model: keys - before[model] for model, keys in all_keys().items() if keys - before[model]}
        self.markers: list[str] = []
        self._mark()
        self.secrets = sorted({*self.markers, *self._identifying()})
        self.digest = self.digested()

    def rows(self, model: type[Model]) -> Any:
        return model._base_manager.filter(pk__in=self.keys[model])

    def numbers(self) -> list[int]:
        """All primary keys that are integers."""
        return sorted({key for keys in self.keys.values() for key in keys if isinstance(key, int)})

    def digested(self) -> dict[str, str]:
        """A digest of all columns of the rows, by table."""
        return {
            model._meta.label: hashlib.sha256(
                repr(sorted(map(repr, self.rows(model).values_list()))).encode()
            ).hexdigest()
            for model in self.keys
        }

    def references(self) -> Iterator[str]:
        """Foreign rows that refer to one of these."""
        for model in tables():
            foreign = model._base_manager.exclude(pk__in=self.keys.get(model, ()))
            for field in model._meta.concrete_fields:
                target = field.remote_field and field.related_model
                if target in self.keys and (found := foreign.filter(**{f"{field.name}__in": self.keys[target]})):
                    yield f"{model._meta.label}.{field.name} of {[row.pk for row in found]}"

    def _mark(self) -> None:
        """Write a text that only this tenant has into each column that takes one."""
        for model in self.keys:
            changes = {}
            for field in model._meta.concrete_fields:
                if _takes_text(field):
                    self.markers.append(f"{secrets.token_hex(6)}-{model._meta.model_name}")
                    changes[field.name] = self.markers[-1][: field.max_length or 100]
            if changes:
                self.rows(model).update(**changes)
        self.markers = [marker[:13] for marker in self.markers]
        for user in self.rows(FFAdminUser):
            FFAdminUser.objects.filter(pk=user.pk).update(email=f"{secrets.token_hex(6)}@example.com")

    def _identifying(self) -> Iterator[str]:
        """Values that identify a row or grant access: UUIDs, keys, e-mail addresses."""
        for model in self.keys:
            for field in model._meta.concrete_fields:
                if isinstance(field, models.UUIDField) or (field.unique and isinstance(field, models.CharField)):
                    for value in self.rows(model).values_list(field.name, flat=True):
                        if len(str(value)) >= 8:
                            yield str(value)


def _takes_text(field: Any) -> bool:
    if not isinstance(field, (models.CharField, models.TextField)) or field.choices or field.unique:
        return False
    return field.name not in SAME and not field.is_relation and (field.max_length or 100) >= 20
