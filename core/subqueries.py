"""Subqueries that many requests contain: Django writes their SQL once, and not for each request.

Who may do what is asked with each call of the API, by queries of queries (docs/performance.md, "The Admin API").
``realtime.prepared`` does the same for whole queries by one key.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import connections
from django.db.models import Expression, QuerySet


class _Place(Expression):
    """Where the value goes. As a parameter it stands for itself."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        return "%s", [self]


class Written(Expression):
    """What ``make(value, *constants)`` gives, for the right side of ``__in``.

    ``make`` is a function of a module, which uses the value as nothing but a parameter: a number or a text as the
    database takes it, or an expression in its place. The constants are hashable, and few. Raises ValueError where the
    value has no part in the SQL.
    """

    def __init__(self, make: Callable[..., "QuerySet[Any, Any]"], value: Any, *constants: Any) -> None:
        super().__init__()
        self.make = make
        self.value = value
        self.constants = constants

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        sql, parameters = _written(self.make, self.constants, connection.alias)
        return sql, [self.value if isinstance(each, _Place) else each for each in parameters]


@cache
def _written(make: Any, constants: tuple[Any, ...], using: str) -> tuple[str, tuple[Any, ...]]:
    # In no order, as Django has subqueries that it writes itself: a database would sort them for nothing.
    query = make(_Place(), *constants).order_by().query
    sql, parameters = query.get_compiler(connection=connections[using]).as_sql()
    if not any(isinstance(each, _Place) for each in parameters):
        # It would be the same for everybody.
        raise ValueError(f"{make.__name__} makes nothing of its value.")
    return f"({sql})", tuple(parameters)
