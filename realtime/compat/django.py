"""Django (tested: 5.2.19, 5.2.20): its compiler of queries, the hooks of a database connection, and its ASGI handler.

Documented are ``Expression.as_sql``, ``QuerySet.query`` as an opaque object, ``on_commit``, ``execute_wrapper`` as a
context manager, and ``get_asgi_application``. Also used:

* ``Query.get_compiler``, and the compiler's ``as_sql``, ``select`` and ``get_converters``;
* the texts of UPDATE and of the rollback to a savepoint;
* a connection's ``run_on_commit``, ``commit_on_exit`` and ``execute_wrappers``, and SQLite's ``transaction_mode``;
* ``ASGIHandler.load_middleware`` and what it sets, ``convert_exception_to_response``, and ``ASGIRequest``.
"""

import io
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.exception import convert_exception_to_response
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase

UPDATE = 'UPDATE "{table}" SET '
"""The beginning of an UPDATE."""

ASSIGNMENT = '"{column}" = %s'
"""An assignment of an UPDATE. In one with several they are separated by commas."""

ROLLBACK_TO_SAVEPOINT = "ROLLBACK TO SAVEPOINT"

Execute = Callable[[Any, Any, bool, dict[str, Any]], Any]
Wrapper = Callable[[Execute, Any, Any, bool, dict[str, Any]], Any]


class CompiledQuery(NamedTuple):
    """A ``values_list`` as SQL."""

    sql: str
    parameters: tuple[Any, ...]
    converters: dict[int, tuple[list[Callable[[Any, Any, Any], Any]], Any]]
    """By column: functions that convert a value from the database, and the column's expression."""


def compile_query(queryset: "QuerySet[Any, Any]", connection: Any) -> CompiledQuery:
    compiler = queryset.query.get_compiler(connection=connection)
    sql, parameters = compiler.as_sql()
    converters = compiler.get_converters([column for column, _, _ in compiler.select])
    return CompiledQuery(sql, tuple(parameters), converters)


def commit_hooks(connection: Any) -> list[Callable[[], None]]:
    """The hooks that run at the commit. Those of a savepoint that Django has rolled back are not among them."""
    return [hook for _, hook, *_ in connection.run_on_commit]


def commits_by_itself(connection: Any) -> bool:
    """False after ``set_autocommit(False)``: hooks stay registered after a commit by hand."""
    return bool(connection.commit_on_exit)


def wrap_statements(connection: Any, wrapper: Wrapper) -> None:
    """Pass all statements of this connection through the wrapper, once."""
    if wrapper not in connection.execute_wrappers:
        # Inserted first: if the connection opens inside of ``execute_wrapper()``, its exit pops the last wrapper.
        connection.execute_wrappers.insert(0, wrapper)


@contextmanager
def deferred(connection: Any) -> Iterator[None]:
    """On SQLite, begin transactions without the write lock, unlike the option IMMEDIATE. No effect elsewhere."""
    if connection.vendor != "sqlite":
        yield
        return
    # Connecting sets the mode, so it comes first.
    connection.ensure_connection()
    mode, connection.transaction_mode = connection.transaction_mode, "DEFERRED"
    try:
        yield
    finally:
        connection.transaction_mode = mode


def empty_request(scope: dict[str, Any]) -> HttpRequest:
    """Django's request for this ASGI scope, without a body."""
    return ASGIRequest(scope, io.BytesIO())


def has_event_loop(request: HttpRequest) -> bool:
    """True if the request came by ASGI, so that the event loop in which its view is awaited outlives it."""
    return isinstance(request, ASGIRequest)


class BareHandler(ASGIHandler):
    """An ASGI handler with its own URL configuration and one middleware, instead of those of the settings."""

    _get_response_async: Callable[[HttpRequest], Awaitable[HttpResponseBase]]

    def __init__(self, urlconf: str, middleware: Callable[[Any], Any]) -> None:
        self.request_class = type("Request", (ASGIRequest,), {"urlconf": urlconf})
        self._middleware = middleware
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        views = convert_exception_to_response(self._get_response_async)
        self._middleware_chain = convert_exception_to_response(self._middleware(views))
