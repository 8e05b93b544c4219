"""Contracts of Django's parts that ``realtime/compat/django.py`` uses, and of undocumented ones with public names."""

from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.exception import convert_exception_to_response
from django.core.management import ManagementUtility
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import Expression
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.db.utils import ConnectionHandler
from django.middleware.security import SecurityMiddleware
from django.utils import timezone

from realtime.compat import django as compat
from realtime.models import ExternalEnvironment
from tests.compat.parts import parameters

FUNCTIONS = {
    Query.get_compiler: ["using", "connection", "elide_empty"],
    SQLCompiler.as_sql: ["with_limits", "with_col_aliases"],
    SQLCompiler.get_converters: ["expressions"],
    ASGIHandler.load_middleware: ["is_async"],
    ASGIRequest: ["scope", "body_file"],
    convert_exception_to_response: ["get_response"],
    # Used where they are needed: their names are public.
    BaseDatabaseWrapper.get_connection_params: [],
    BaseDatabaseWrapper.copy: ["alias"],
    BaseDatabaseOperations.quote_name: ["name"],
    BaseDatabaseOperations.bulk_batch_size: ["fields", "objs"],
    ManagementUtility.fetch_command: ["subcommand"],
}


class Parameter(Expression):
    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


class Recorder:
    """A wrapper of statements."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __call__(self, execute: Any, sql: Any, *arguments: Any) -> Any:
        self.statements.append(sql)
        return execute(sql, *arguments)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_function__is_there__with_these_parameters(function: Any) -> None:
    assert parameters(function) == FUNCTIONS[function]


@pytest.mark.parametrize(
    "name",
    ["run_on_commit", "commit_on_exit", "execute_wrappers", "in_atomic_block", "settings_dict", "vendor", "alias"],
)
def test_connection__attribute__is_there(name: str) -> None:
    assert hasattr(connection, name)


def test_compiler__expression__its_parameter_is_returned_as_it_is() -> None:
    parameter = Parameter()
    query = ExternalEnvironment.objects.filter(key=parameter).values_list("key", "updated_at").order_by()
    sql, parameters, converters = compat.compile_query(query, connection)
    assert parameters == (parameter,)
    assert sql.endswith('"key" = (%s)')
    # SQLite stores a time as text; PostgreSQL's driver converts by itself.
    assert list(converters) == ([1] if connection.vendor == "sqlite" else [])


@pytest.mark.django_db
def test_update__its_text__begins_like_this() -> None:
    recorder = Recorder()
    with connection.execute_wrapper(recorder):
        ExternalEnvironment.objects.filter(key="a").update(updated_at=timezone.now())
    table = ExternalEnvironment._meta.db_table
    begins = compat.UPDATE.format(table=table) + compat.ASSIGNMENT.format(column="updated_at") + " WHERE "
    assert recorder.statements[0].startswith(begins)


@pytest.mark.django_db
def test_savepoint__rolled_back__the_statement_begins_like_this() -> None:
    recorder = Recorder()
    with connection.execute_wrapper(recorder):
        transaction.savepoint_rollback(transaction.savepoint())
    assert recorder.statements[-1].startswith(compat.ROLLBACK_TO_SAVEPOINT)


@pytest.mark.django_db
def test_commit_hooks__savepoint_rolled_back__its_hook_is_discarded() -> None:
    def kept() -> None: ...

    def discarded() -> None: ...

    transaction.on_commit(kept, robust=True)
    with transaction.atomic():
        transaction.on_commit(discarded)
        transaction.set_rollback(True)
    hooks = compat.commit_hooks(connection)
    assert kept in hooks
    assert discarded not in hooks


@pytest.mark.django_db
def test_statements__wrapped_twice__pass_the_wrapper_once() -> None:
    recorder = Recorder()
    for _ in range(2):
        compat.wrap_statements(connection, recorder)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.execute_wrappers.remove(recorder)
    assert recorder.statements == ["SELECT 1"]


@pytest.mark.django_db
def test_sqlite__transaction_mode__is_read_at_the_begin() -> None:
    options = {"transaction_mode": "IMMEDIATE"}
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": options}
    sqlite = ConnectionHandler({"default": database})["default"]
    recorder = Recorder()
    with sqlite.execute_wrapper(recorder):
        with compat.deferred(sqlite):
            sqlite.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        sqlite.rollback()
        sqlite.set_autocommit(True)
        sqlite.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    assert [each for each in recorder.statements if each.startswith("BEGIN")] == ["BEGIN DEFERRED", "BEGIN IMMEDIATE"]
    sqlite.close()


def test_handler__attributes__as_djangos_own_sets_them() -> None:
    ours = set(vars(compat.BareHandler("realtime.serving.urls", SecurityMiddleware)))
    assert ours - {"request_class", "_middleware"} == set(vars(ASGIHandler()))
