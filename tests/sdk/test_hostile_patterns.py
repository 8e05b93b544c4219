"""A tenant's patterns that would take for ever, on a real server: its own flags are late by a moment, nobody else's."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.api import AdminAPI, Tenant, text
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e

PATTERNS = ["(a+)+$", "^(a|aa)+$", "(.*)*x", "^([a-z]+)*[0-9]$"]
HOSTILE = "a" * 1_999 + "!"


def hostile_rules() -> list[dict[str, Any]]:
    conditions = [
        {"operator": "REGEX", "property": "t", "value": f"{PATTERNS[number % 4]}(?#{number})"} for number in range(100)
    ]
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "conditions": conditions, "rules": []}]}]


def test_patterns__that_would_take_for_ever__hold_up_nobody(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    api = AdminAPI.registered(server.url)
    tenant = Tenant.create(api)
    feature = tenant.add_feature("banner", initial_value="plain")["id"]
    segment = api.post(f"projects/{tenant.project}/segments/", name="hostile", rules=hostile_rules())
    tenant.override(feature, segment["id"], feature_state_value=text("special"))
    other = Tenant.create(AdminAPI.registered(server.url))

    def value(trait: str) -> tuple[Any, float]:
        began = time.perf_counter()
        answer = requests.post(
            f"{server.url}/api/v1/identities/",
            json={"identifier": "i", "traits": [{"trait_key": "t", "trait_value": trait}], "transient": True},
            headers={"X-Environment-Key": tenant.environment.key},
            timeout=PATIENCE,
        )
        answer.raise_for_status()
        return answer.json()["flags"][0]["feature_state_value"], time.perf_counter() - began

    assert value("aaaa")[0] == "special"
    with ThreadPoolExecutor(8) as attackers:
        attacks = [attackers.submit(value, HOSTILE) for _ in range(8)]
        began = time.perf_counter()
        assert other.flags() == {}
        waited = time.perf_counter() - began
    assert {attack.result()[0] for attack in attacks} == {"plain"}
    # 0.25 s of patterns each, on however few cores: without that they would take for ever.
    assert max(attack.result()[1] for attack in attacks) < PATIENCE
    assert waited < PATIENCE / 2

    document = requests.get(
        f"{server.url}/api/v1/environment-document/",
        headers={"X-Environment-Key": tenant.environment.server_key},
        timeout=PATIENCE,
    )
    # SDKs that evaluate by themselves get the patterns as they are: only who wrote them can spare them.
    assert "(a+)+$" in document.text
