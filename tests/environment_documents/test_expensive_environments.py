"""Environments whose evaluation takes long in the server process are sent to the evaluation process afterwards."""

import gc
from time import thread_time

import pytest

from environment_documents import isolation
from environment_documents.cache import CompiledDocument
from environment_documents.document import Version
from environment_documents.isolation import CHEAP_IDENTITY_SECONDS, EnvironmentIsExpensive, Work
from environments.models import Environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of other modules get environments with the same primary keys."""
    monkeypatch.setattr(isolation, "_expensive_environments", isolation.ExpensiveEnvironments())


def evaluate_long(compiled: CompiledDocument) -> float:
    """Take longer than a cheap evaluation, and return the seconds."""
    began = thread_time()
    while thread_time() - began < 2 * CHEAP_IDENTITY_SECONDS:
        pass
    return thread_time() - began


def collect_garbage(compiled: CompiledDocument) -> float:
    """Take longer than a cheap evaluation by garbage collections, and return the seconds."""
    began = thread_time()
    while thread_time() - began < 2 * CHEAP_IDENTITY_SECONDS:
        gc.collect()
    return thread_time() - began


def seconds_of(environment: Environment, work: Work[float]) -> float:
    return isolation.run_in_server_process(Version.of(environment), work, CHEAP_IDENTITY_SECONDS).value


def test_environment__evaluation_took_long__next_one_in_the_evaluation_process(environment: Environment) -> None:
    assert seconds_of(environment, evaluate_long) > CHEAP_IDENTITY_SECONDS
    with pytest.raises(EnvironmentIsExpensive):
        seconds_of(environment, evaluate_long)


def test_environment__garbage_was_collected_during_an_evaluation__next_one_in_the_server_process(
    environment: Environment,
) -> None:
    assert seconds_of(environment, collect_garbage) > CHEAP_IDENTITY_SECONDS
    assert seconds_of(environment, collect_garbage) > CHEAP_IDENTITY_SECONDS
