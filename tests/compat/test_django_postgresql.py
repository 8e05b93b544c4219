"""Contracts of the parts of Django's PostgreSQL backend that ``realtime/compat/django_postgresql.py`` uses."""

import inspect
from typing import Any

import pytest
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg_pool import ConnectionPool

from tests.compat.parts import parameters

FUNCTIONS = {
    DatabaseWrapper.get_connection_params: [],
    DatabaseWrapper.get_new_connection: ["conn_params"],
    DatabaseWrapper._configure_connection: ["connection"],
    DatabaseWrapper.close_pool: [],
}
POOL_OPTIONS = ("connection_class", "kwargs", "open", "configure", "check", "reconnect_failed", "reconnect_timeout")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_function__is_there__with_these_parameters(function: Any) -> None:
    assert parameters(function) == FUNCTIONS[function]


def test_pools__by_alias__are_of_the_class() -> None:
    assert isinstance(DatabaseWrapper._connection_pools, dict)
    assert isinstance(DatabaseWrapper.pool, property)


@pytest.mark.parametrize("text", ["self.pool.open()", "self.pool.getconn()", "self.Database.connect(**conn_params)"])
def test_get_new_connection__from_a_pool_or_not__calls(text: str) -> None:
    assert text in inspect.getsource(DatabaseWrapper.get_new_connection)


@pytest.mark.parametrize("name", POOL_OPTIONS)
def test_psycopg_pool__option__is_there(name: str) -> None:
    assert name in parameters(ConnectionPool)


@pytest.mark.parametrize("name", ["check_connection", "check", "drain", "get_stats"])
def test_psycopg_pool__method__is_there(name: str) -> None:
    assert callable(getattr(ConnectionPool, name))
