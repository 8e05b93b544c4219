"""OFREP's answers when an evaluation fails or is expensive, by the fast path and by Django."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError

from core.errors import Failure
from environment_documents.evaluation_process import Busy
from sdk.ofrep import answer_to
from tests.ofrep.conftest import Client
from tests.support.api import AdminAPI, Tenant, text
from tests.support.server import MigratedSQLite, ServerProcess

# Takes exponential time.
PATTERN = "(a|a|aa|0)+$"
SLOW = {"targetingKey": "slow", "t": "a" * 1_500 + "!"}
FAST = {"targetingKey": "fast", "t": "aaaa"}


@pytest.fixture(scope="module")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp("failures"))
    with ServerProcess(variables | {"EVALUATION_SECONDS": "0.2"}) as server:
        yield server


@pytest.fixture(scope="module")
def tenant(api: AdminAPI) -> Tenant:
    """A tenant whose segments are slow for some traits."""
    tenant = Tenant.create(api)
    banner = tenant.add_feature("banner", initial_value="plain", default_enabled=True)["id"]
    for number in range(3):
        conditions = [{"operator": "REGEX", "property": "t", "value": PATTERN}]
        rule = {"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": conditions}]}
        segment = tenant.api.post(f"projects/{tenant.project}/segments/", name=f"slow {number}", rules=[rule])
        tenant.override(banner, segment["id"], feature_state_value=text("special"))
    return tenant


@pytest.mark.slow
def test_expensive_environment__evaluated_in_the_other_process__same_answers(client: Client) -> None:
    assert client.flags(FAST)["banner"]["value"] == "special"
    for flag in ("", "banner"):
        slow = client.send({"context": SLOW}, flag)
        assert (slow.status_code, slow.json()["errorCode"], slow.json().get("key", "")) == (400, "GENERAL", flag)
    assert client.flags(FAST)["banner"]["value"] == "special"


@pytest.mark.slow
def test_many_evaluations_at_once__more_than_a_batch__all_answered(client: Client) -> None:
    with ThreadPoolExecutor(40) as threads:
        contexts = [{"targetingKey": f"person-{number}", "t": f"{number}x"} for number in range(400)]
        answers = list(threads.map(client.flags, contexts))

    assert {answer["banner"]["value"] for answer in answers} == {"plain"}


def test_failure__overloaded_or_database_unavailable__status_of_the_protocol() -> None:
    for error, status in ((Busy(), 429), (OperationalError("gone"), 500), (RuntimeError("bug"), 500)):
        answer = answer_to(error, Failure.of(error), "banner")
        retry = dict(answer.headers).get("Retry-After")
        assert (answer.status, retry) == (status, None if isinstance(error, RuntimeError) else "1")
        assert b"errorDetails" in answer.body
