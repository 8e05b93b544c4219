"""Serializer fields shared by the endpoints of features."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db.models import Model, QuerySet
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import build_array_type
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.representation import related
from features.values import MAX_32_BIT_INTEGER, Value
from organisations.groups.serializers import GroupSummarySerializer
from projects.models import Project
from users.serializers import UserSummarySerializer

# Databases limit the number of a query's parameters.
MAX_IDS = 1_000

# The range of a 32-bit integer, which SDKs expect; databases differ in their ranges.
INTEGER_BOUNDS = {"integer_value": {"min_value": -MAX_32_BIT_INTEGER - 1, "max_value": MAX_32_BIT_INTEGER}}


class ObjectID(serializers.IntegerField):
    """A primary key in a query or a body."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=MAX_32_BIT_INTEGER, **kwargs)


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}], "nullable": True})
class RawValue(serializers.Field):
    """A feature state's value as a JSON scalar, as SDKs receive it."""

    def get_attribute(self, instance: Any) -> Value:
        stored = getattr(instance, "feature_state_value", None)
        return stored.value if stored is not None else None

    def to_representation(self, value: Value) -> Value:
        return value

    def to_internal_value(self, data: Any) -> Any:
        return data


class InitialValue(serializers.CharField):
    """Text. Numbers are converted to text, true to "True". False is rejected, as by Flagsmith."""

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value("True" if data is True else data)


class ProjectObjects(serializers.ListField):
    """A list of primary keys, resolved with one query among the ``candidates`` of the project."""

    default_error_messages = {"does_not_exist": 'Invalid pk "{pk_value}" - object does not exist.'}
    child = ObjectID()

    def __init__(self, candidates: Callable[[Project], QuerySet[Any]] | None = None, **kwargs: Any) -> None:
        self.candidates = candidates
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:
        pks = dict.fromkeys(super().to_internal_value(data))
        instances: dict[int, Any] = {}
        if pks and self.candidates is not None:
            instances = self.candidates(self.context["view"].project).in_bulk(list(pks))
        for pk in pks:
            if pk not in instances:
                self.fail("does_not_exist", pk_value=pk)
        return [instances[pk] for pk in pks]

    def get_attribute(self, instance: Any) -> list[Any]:
        return related(instance, str(self.source))

    def to_representation(self, value: list[Any]) -> list[Any]:
        return [self.represent(instance) for instance in value]

    def represent(self, instance: Model) -> Any:
        return instance.pk


class Summaries(ProjectObjects):
    """Primary keys in a request, summaries in a response.

    Many features of a list have the same owners, so each owner's summary is built once per response.
    """

    summary_class: type[serializers.BaseSerializer]

    def represent(self, instance: Model) -> Any:
        if instance.pk not in self._summaries:
            self._summaries[instance.pk] = self._summary_serializer.to_representation(instance)
        return self._summaries[instance.pk]

    @cached_property
    def _summary_serializer(self) -> serializers.BaseSerializer:
        return self.summary_class()

    @cached_property
    def _summaries(self) -> dict[Any, Any]:
        return {}


class Owners(Summaries):
    """Users who own a feature."""

    summary_class = UserSummarySerializer


class OwnersSchema(OpenApiSerializerFieldExtension):
    """Schema of ``Owners``: primary keys or summaries, since one component describes both request and response."""

    target_class: type[ProjectObjects] = Owners
    summary: type[serializers.BaseSerializer] = UserSummarySerializer

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        summary = auto_schema.resolve_serializer(self.summary, "response").ref
        return build_array_type(summary if self.target.read_only else {"oneOf": [{"type": "integer"}, summary]})


class GroupOwners(Summaries):
    """User groups that own a feature."""

    summary_class = GroupSummarySerializer


class GroupOwnersSchema(OwnersSchema):
    target_class = GroupOwners
    summary = GroupSummarySerializer
