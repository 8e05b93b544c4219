"""Expensive environments on a real server: their own readers pay for them, in time or by an error, and nobody else."""

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

# Python's own library takes for ever for both, the one that is used for the first.
PATTERNS = ("(a|a|aa|0)+$", "^(([a-z])+.)+[A-Z]([a-z])+$0")
HOSTILE = "a" * 1_500 + "!"

LARGE = """
from environments.models import Environment
from tests.scale.growth import Growth, grow

environment = Environment.objects.get(api_key={key!r})
grow(environment, Growth(features=2_100, environments=0, segments=20, identities=3, entries=0, others=1))
"""

FRESH = """
import json
import os
from evaluation import document
from evaluation.cache import Entry
from environments.models import Environment
from sdk import identify, responses

environment = Environment.objects.get(api_key={key!r})
entry = Entry(document.build(document.read_head(environment.pk)))
ada = identify.read(environment.pk, ["ada"])["ada"]
answers = [
    responses.flags(entry, server=False),
    responses.document(entry),
    responses.identity(entry, ada, server=False),
    responses.flag(entry, "banner", server=False),
    responses.identity_flag(entry, ada, "banner", server=False),
]
print(json.dumps([answer.body.decode() for answer in answers]))
"""


def shell(server: ServerProcess, code: str) -> str:
    return server.manage("shell", "--verbosity=0", "-c", code)


def read(tenant: Tenant, path: str, key: str = "") -> requests.Response:
    headers = {"X-Environment-Key": key or tenant.environment.key}
    return requests.get(f"{tenant.api.url}/api/v1/{path}", headers=headers, timeout=PATIENCE)


@pytest.fixture(scope="module")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp("isolation"))
    # The evaluation process has a low priority: on a busy machine its queue takes long.
    variables |= {"EVALUATION_SECONDS": "0.2", "EVALUATION_WAIT_SECONDS": str(10 * PATIENCE)}
    with ServerProcess(variables) as server:
        yield server


@pytest.fixture(scope="module")
def hostile(server: ServerProcess) -> Tenant:
    """A tenant whose flags depend on slow patterns, with 40 identities that make them slow and one that does not."""
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
def attacked(tenant: Tenant, connections: int) -> Iterator[list[requests.Response]]:
    """Hostile identities are asked for on so many connections meanwhile."""
    over = Event()
    answers: list[requests.Response] = []

    def attack(first: int) -> None:
        number = first
        while not over.is_set():
            answers.append(read(tenant, f"identities/?identifier=hostile-{number % 40}"))
            number += 1

    with ThreadPoolExecutor(connections) as attackers:
        for index in range(connections):
            attackers.submit(attack, index * 10)
        try:
            # The attack is under way.
            deadline = time.monotonic() + PATIENCE
            while len(answers) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield answers
        finally:
            over.set()


def median(tenant: Tenant, path: str, number: int = 40) -> float:
    """Seconds until the answer."""
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


def test_small_environments__no_evaluation_process(server: ServerProcess, other: Tenant) -> None:
    assert read(other, "flags/").status_code == 200
    assert read(other, "identities/?identifier=ada").status_code == 200
    assert evaluation_process_of(server) is None


def test_i13_patterns__slow_for_some_identities__these_get_an_error_and_nobody_waits(
    hostile: Tenant, other: Tenant
) -> None:
    idle = median(other, "flags/")
    with attacked(hostile, 4) as answers:
        assert median(other, "flags/") < 10 * idle + 0.1
        fine = read(hostile, "identities/?identifier=ada")
    assert {answer.status_code for answer in answers} == {422}
    assert "take too long" in answers[0].json()["detail"]
    assert [flag["feature_state_value"] for flag in fine.json()["flags"]] == ["special"]


def test_patterns__slow_traits_by_every_endpoint__the_same_error(hostile: Tenant, server: ServerProcess) -> None:
    """Whichever thread or process meets them."""
    url, key = server.url, {"X-Environment-Key": hostile.environment.key}
    body = {"identifier": "eve", "traits": [{"trait_key": "t", "trait_value": HOSTILE}], "transient": True}
    posted = requests.post(f"{url}/api/v1/identities/", json=body, headers=key, timeout=PATIENCE)
    identities = hostile.api.get(f"environments/{hostile.environment.key}/identities/?q=hostile-1")["results"]
    of_admin = f"environments/{hostile.environment.key}/identities/{identities[0]['id']}/featurestates/all/"
    segments = f"projects/{hostile.project}/segments/?identity={identities[0]['id']}"
    answers = [
        read(hostile, "identities/?identifier=hostile-1"),
        read(hostile, "identities/?identifier=hostile-1&transient=true"),
        read(hostile, "identities/?identifier=hostile-1&feature=banner"),
        posted,
        hostile.api.response("GET", of_admin),
        hostile.api.response("GET", segments),
    ]
    assert [answer.status_code for answer in answers] == [422] * 6
    assert len({answer.json()["detail"] for answer in answers}) == 1
    # Nothing of that concerns those whose flags depend on no trait, or who evaluate by themselves.
    assert read(hostile, "flags/").status_code == 200
    assert PATTERNS[0] in read(hostile, "environment-document/", hostile.environment.server_key).text


# Takes time by the third power of the features: 17 s with 110 of them, where nothing limits it.
QUERY = "$.features[?count($.features[?count($.features..nope)>0])>0]"

MANY = """
from environments.models import Environment
from tests.scale.growth import Growth, grow

environment = Environment.objects.get(api_key={key!r})
grow(environment, Growth(features=110, environments=0, segments=1, identities=3, entries=0, others=1))
"""


def test_i13_queries__slow_in_a_small_environment__these_get_an_error_and_nobody_waits(
    server: ServerProcess, other: Tenant
) -> None:
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner")["id"]
    condition = {"operator": "EQUAL", "property": QUERY, "value": "1"}
    rule = {"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": [condition]}]}
    segment = tenant.api.post(f"projects/{tenant.project}/segments/", name="slow", rules=[rule])
    tenant.override(feature, segment["id"], enabled=True)
    shell(server, MANY.format(key=tenant.environment.key))
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
    # Nothing of that concerns the environment's own flags.
    assert read(tenant, "flags/").status_code == 200


@pytest.fixture(scope="module")
def large(server: ServerProcess) -> Tenant:
    tenant = Tenant.create(AdminAPI.registered(server.url))
    tenant.add_feature("banner", initial_value="plain")
    shell(server, LARGE.format(key=tenant.environment.key))
    assert read(tenant, "identities/?identifier=ada").status_code == 200
    return tenant


def test_large_environment__by_every_endpoint__same_bytes_as_freshly_built(
    server: ServerProcess, large: Tenant, other: Tenant
) -> None:
    key, secret = large.environment.key, large.environment.server_key
    for _ in range(2):
        answers = [
            read(large, "flags/"),
            read(large, "environment-document/", secret),
            read(large, "identities/?identifier=ada"),
            read(large, "flags/?feature=banner"),
            read(large, "identities/?identifier=ada&feature=banner"),
        ]
        assert [answer.text for answer in answers] == json.loads(shell(server, FRESH.format(key=key)))
        large.change(large.api.get(f"projects/{large.project}/features/")["results"][0]["id"], enabled=True)
    assert evaluation_process_of(server) is not None
    assert "environment_is_expensive" in server.log


def test_evaluation_process__killed__the_next_read_has_a_new_one_that_ends_with_the_server(
    server: ServerProcess, large: Tenant
) -> None:
    before = evaluation_process_of(server)
    assert before is not None
    os.kill(before, SIGKILL)
    answers = [read(large, "identities/?identifier=ada") for _ in range(3)]
    assert answers[0].status_code in (200, 503)
    assert [answer.status_code for answer in answers[1:]] == [200, 200]
    assert evaluation_process_of(server) not in (None, before)
    # It ends with the server, however that does.
    running = evaluation_process_of(server)
    server.process.kill()
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{running}/exe").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
