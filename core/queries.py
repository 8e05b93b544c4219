"""What the query of a list asks for."""

from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework import serializers


class QuerySerializer(serializers.Serializer[Any]):
    """The parameters that a list takes. An empty one asks for nothing, unless it is one of ``speaks_empty``."""

    speaks_empty: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """The parameters that are given, as Python's values. Raises ValidationError with the names of bad ones."""
        many = [name for name, field in cls().fields.items() if isinstance(field, serializers.ListField)]
        given: dict[str, Any] = {}
        for name, texts in query.lists():
            told = [text for text in texts if text or name in cls.speaks_empty]
            if name in many and told:
                given[name] = told
            elif told and told[-1] == texts[-1]:
                given[name] = told[-1]
        serializer = cls(data=given)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)
