"""Expensive environments on a real server: they delay only their own readers, or give only these an error."""

import json
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from threading import Event

import pytest
import requests

from tests.support.api import AdminAPI, Tenant, text
from tests.support.patience import PATIENCE
from tests.support.server import MigratedSQLite, ServerProcess

pytestmark = pytest.mark.e2e

# Python's ``re`` takes exponential time for both. The library that is used takes it for the first.
PATTERNS = ("(a|a|aa|0)+$", "^(([a-z])+.)+[A-Z]([a-z])+$0")
HOSTILE = "a" * 1_500 + "!"

ADD_2100_FEATURES = """
from environments.models import Environment
from tests.scale.growth import Growth, grow

environment = Environment.objects.get(api_key={key!r})
grow(environment, Growth(features=2_100, environments=0, segments=20, identities=3, entries=0, others=1))
"""

PRINT_RESPONSES = """
import json
import os
from environment_documents import document
from environment_documents.cache import CompiledDocument
from environments.models import Environment
from realtime.reads.answering import answer
from realtime.reads.read import DOCUMENT, FLAGS, IDENTITIES, Read
from sdk import identify

environment = Environment.objects.get(api_key={key!r})
compiled = CompiledDocument(document.build(document.read_environment_row(environment.pk)))
ada = identify.read(environment.pk, ["ada"])["ada"]
reads = [
    Read(FLAGS, False),
    Read(DOCUMENT, False),
    Read(IDENTITIES, False, None, ada),
    Read(FLAGS, False, "banner"),
    Read(IDENTITIES, False, "banner", ada),
]
print(json.dumps([answer(read, compiled).body.decode() for read in reads]))
"""


def shell(server: ServerProcess, code: str) -> str:
    return server.manage("shell", "--verbosity=0", "-c", code)


def read(tenant: Tenant, path: str, key: str = "") -> requests.Response:
    headers = {"X-Environment-Key": key or tenant.environment.key}
    return requests.get(f"{tenant.api.url}/api/v1/{path}", headers=headers, timeout=PATIENCE)


@pytest.fixture(scope="module")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp("isolation"))
    # The evaluation process has a low priority, so its queue is slow on a busy machine.
    variables |= {"EVALUATION_SECONDS": "0.2", "EVALUATION_WAIT_SECONDS": str(10 * PATIENCE)}
    with ServerProcess(variables) as server:
        yield server


@pytest.fixture(scope="module")
def hostile(server: ServerProcess) -> Tenant:
    """A tenant whose flags depend on slow patterns. They are slow for 40 identities, and fast for ``ada``."""
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner", initial_value="plain")["id"]
    for number in range(10):
        conditions = [{"operator": "REGEX", "property": "t", "value": pattern} for pattern in PATTERNS]
        rule = {"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": conditions}]}
        segment = tenant.api.post(f"projects/{tenant.project}/segments/", name=f"slow {number}", rules=[rule])
        tenant.override(feature, segment["id"], feature_state_value=text("special"))
    traits = {"ada": "aaaa", **{f"hostile-{number}": HOSTILE for number in range(40)}}
    body = [
        {"identity": {"identifier": name}, "trait_key": "t", "trait_value": value} for name, value in traits.items()
    ]
    key = {"X-Environment-Key": tenant.environment.key}
    assert tenant.api.response("PUT", "traits/bulk/", body, key).status_code == 200
    return tenant


@pytest.fixture(scope="module")
def other(server: ServerProcess) -> Tenant:
    tenant = Tenant.create(AdminAPI.registered(server.url))
    tenant.add_feature("colour", initial_value="red")
    return tenant


@contextmanager
def attack_on(tenant: Tenant, connections: int) -> Iterator[list[requests.Response]]:
    """Read hostile identities on this number of connections during the block."""
    ended = Event()
    responses: list[requests.Response] = []

    def attack(first: int) -> None:
        number = first
        while not ended.is_set():
            responses.append(read(tenant, f"identities/?identifier=hostile-{number % 40}"))
            number += 1

    with ThreadPoolExecutor(connections) as attackers:
        for index in range(connections):
            attackers.submit(attack, index * 10)
        try:
            # Wait until the attack has begun.
            deadline = time.monotonic() + PATIENCE
            while len(responses) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield responses
        finally:
            ended.set()


def median(tenant: Tenant, path: str, number: int = 40) -> float:
    """The median response time in seconds."""
    times = []
    for _ in range(number):
        began = time.perf_counter()
        assert read(tenant, path).status_code == 200
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def evaluation_process_of(server: ServerProcess) -> int | None:
    """The process id of the server's evaluation process."""
    children = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    found = [int(word) for path in children for word in path.read_text().split()]
    return found[0] if found else None


@pytest.mark.slow
def test_small_environments__no_evaluation_process(server: ServerProcess, other: Tenant) -> None:
    assert read(other, "flags/").status_code == 200
    assert read(other, "identities/?identifier=ada").status_code == 200
    assert evaluation_process_of(server) is None


def test_i13_patterns__slow_for_some_identities__only_these_get_an_error_and_no_other_waits(
    hostile: Tenant, other: Tenant
) -> None:
    idle = median(other, "flags/")
    with attack_on(hostile, 4) as responses:
        assert median(other, "flags/") < 10 * idle + 0.1
        cheap_identity = read(hostile, "identities/?identifier=ada")
    assert {response.status_code for response in responses} == {422}
    assert "take too long" in responses[0].json()["detail"]
    assert [flag["feature_state_value"] for flag in cheap_identity.json()["flags"]] == ["special"]


@pytest.mark.slow
def test_patterns__slow_traits_on_every_endpoint__same_error(hostile: Tenant, server: ServerProcess) -> None:
    """The endpoints evaluate in different threads and processes."""
    url, key = server.url, {"X-Environment-Key": hostile.environment.key}
    body = {"identifier": "eve", "traits": [{"trait_key": "t", "trait_value": HOSTILE}], "transient": True}
    posted = requests.post(f"{url}/api/v1/identities/", json=body, headers=key, timeout=PATIENCE)
    identities = hostile.api.get(f"environments/{hostile.environment.key}/identities/?q=hostile-1")["results"]
    of_admin = f"environments/{hostile.environment.key}/identities/{identities[0]['id']}/featurestates/all/"
    segments = f"projects/{hostile.project}/segments/?identity={identities[0]['id']}"
    responses = [
        read(hostile, "identities/?identifier=hostile-1"),
        read(hostile, "identities/?identifier=hostile-1&transient=true"),
        read(hostile, "identities/?identifier=hostile-1&feature=banner"),
        posted,
        hostile.api.response("GET", of_admin),
        hostile.api.response("GET", segments),
    ]
    assert [response.status_code for response in responses] == [422] * 6
    assert len({response.json()["detail"] for response in responses}) == 1
    # Flags without traits, and SDKs that evaluate locally, are not affected.
    assert read(hostile, "flags/").status_code == 200
    assert PATTERNS[0] in read(hostile, "environment-document/", hostile.environment.server_key).text


# Takes cubic time in the number of features: 17 s with 110 features, without a limit.
CUBIC_QUERY = "$.features[?count($.features[?count($.features..nope)>0])>0]"

ADD_110_FEATURES = """
from environments.models import Environment
from tests.scale.growth import Growth, grow

environment = Environment.objects.get(api_key={key!r})
grow(environment, Growth(features=110, environments=0, segments=1, identities=3, entries=0, others=1))
"""


@pytest.mark.slow
def test_i13_queries__slow_in_a_small_environment__only_these_get_an_error_and_no_other_waits(
    server: ServerProcess, other: Tenant
) -> None:
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner")["id"]
    condition = {"operator": "EQUAL", "property": CUBIC_QUERY, "value": "1"}
    rule = {"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": [condition]}]}
    segment = tenant.api.post(f"projects/{tenant.project}/segments/", name="slow", rules=[rule])
    tenant.override(feature, segment["id"], enabled=True)
    shell(server, ADD_110_FEATURES.format(key=tenant.environment.key))
    assert read(other, "identities/?identifier=ada").status_code == 200
    idle = median(other, "identities/?identifier=ada")
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(read, tenant, "identities/?identifier=ada")
        times = []
        while not slow.done():
            began = time.perf_counter()
            assert read(other, "identities/?identifier=ada").status_code == 200
            times.append(time.perf_counter() - began)
    assert statistics.median(times) < 10 * idle + 0.1
    assert slow.result().status_code == 422
    # The environment's default flags are not affected.
    assert read(tenant, "flags/").status_code == 200


@pytest.fixture(scope="module")
def large(server: ServerProcess) -> Tenant:
    tenant = Tenant.create(AdminAPI.registered(server.url))
    tenant.add_feature("banner", initial_value="plain")
    shell(server, ADD_2100_FEATURES.format(key=tenant.environment.key))
    assert read(tenant, "identities/?identifier=ada").status_code == 200
    return tenant


@pytest.mark.slow
def test_large_environment__every_endpoint__same_bytes_as_freshly_built(
    server: ServerProcess, large: Tenant, other: Tenant
) -> None:
    key, secret = large.environment.key, large.environment.server_key
    for _ in range(2):
        responses = [
            read(large, "flags/"),
            read(large, "environment-document/", secret),
            read(large, "identities/?identifier=ada"),
            read(large, "flags/?feature=banner"),
            read(large, "identities/?identifier=ada&feature=banner"),
        ]
        assert [response.text for response in responses] == json.loads(shell(server, PRINT_RESPONSES.format(key=key)))
        large.change(large.api.get(f"projects/{large.project}/features/")["results"][0]["id"], enabled=True)
    assert evaluation_process_of(server) is not None
    assert "environment_is_expensive" in server.log


@pytest.mark.slow
def test_evaluation_process__killed__restarted_and_ends_with_the_server(server: ServerProcess, large: Tenant) -> None:
    before = evaluation_process_of(server)
    assert before is not None
    os.kill(before, SIGKILL)
    responses = [read(large, "identities/?identifier=ada") for _ in range(3)]
    assert responses[0].status_code in (200, 503)
    assert [response.status_code for response in responses[1:]] == [200, 200]
    assert evaluation_process_of(server) not in (None, before)
    # It ends even if the server is killed.
    running = evaluation_process_of(server)
    server.process.kill()
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{running}/exe").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
