"""Official SDKs agree on identities: Python and Node evaluate the environment document, JavaScript asks the server."""

import json
import subprocess
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import requests
from flagsmith import Flagsmith

from tests.support import programs
from tests.support.api import Tenant, text
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROGRAM = programs.E2E / "evaluate_identities.mjs"
SDKS = ("flagsmith-nodejs", "@flagsmith/flagsmith")

SEGMENTS = 50
IDENTITIES = 40

Traits = dict[str, Any]

Flags = dict[str, tuple[bool, Any]]

Evaluate = Callable[[Tenant, dict[str, Traits]], tuple[list[Flags], list[Flags]]]
"""Returns the flags of each identity: those of the Node SDK, and those of the JavaScript SDK."""

PLANS = ("free", "pro", "enterprise", "pro plus")
COUNTRIES = ("DE", "FR", "US", "GB")
VERSIONS = ("1.2.3", "1.10.0", "2.0.0-beta", "2.0.0")


def condition(random: Random) -> dict[str, Any]:
    age = str(random.randint(0, 80))
    operator, prop, value = random.choice(
        (
            *((operator, "plan", random.choice(PLANS)) for operator in ("EQUAL", "NOT_EQUAL", "CONTAINS")),
            ("NOT_CONTAINS", "plan", "pro"),
            ("REGEX", "plan", "pro.*"),
            ("IN", "country", ",".join(random.sample(COUNTRIES, 2))),
            ("IN", "country", json.dumps(random.sample(COUNTRIES, 2))),
            *((operator, "age", age) for operator in ("EQUAL", "GREATER_THAN", "LESS_THAN", "GREATER_THAN_INCLUSIVE")),
            ("LESS_THAN_INCLUSIVE", "score", "50.5"),
            ("MODULO", "age", "3|1"),
            ("EQUAL", "beta", random.choice(("true", "false"))),
            ("GREATER_THAN", "version", f"{random.choice(VERSIONS)}:semver"),
            (random.choice(("IS_SET", "IS_NOT_SET")), random.choice(("plan", "beta")), None),
            ("PERCENTAGE_SPLIT", None, str(random.randint(10, 90))),
            ("CONTAINS", "$.identity.identifier", str(random.randint(0, 9))),
        )
    )
    return {"operator": operator, "property": prop, "value": value}


def segment_rules(random: Random) -> list[dict[str, Any]]:
    nested = [
        {
            "type": random.choice(("ALL", "ANY", "NONE")),
            "rules": [],
            "conditions": [condition(random) for _ in range(2)],
        }
        for _ in range(random.randint(1, 2))
    ]
    return [{"type": "ALL", "rules": nested, "conditions": []}]


def random_traits(random: Random) -> Traits:
    traits: Traits = {
        "plan": random.choice(PLANS),
        "country": random.choice(COUNTRIES),
        "age": random.randint(0, 80),
        # No whole number: JavaScript has one type for integers and floats.
        "score": random.randint(0, 99) + 0.5,
        "beta": random.random() < 0.5,
        "version": random.choice(VERSIONS),
    }
    return {key: value for key, value in traits.items() if random.random() < 0.8}


def of_response(response: requests.Response) -> Flags:
    response.raise_for_status()
    return {
        flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in response.json()["flags"]
    }


def post(tenant: Tenant, identifier: str, traits: Traits) -> Flags:
    pairs = [{"trait_key": key, "trait_value": value} for key, value in traits.items()]
    body = {"identifier": identifier, "traits": pairs}
    url, headers = f"{tenant.api.url}/api/v1/identities/", {"X-Environment-Key": tenant.environment.key}
    return of_response(requests.post(url, json=body, headers=headers, timeout=PATIENCE))


@pytest.fixture
def evaluate() -> Evaluate:
    """Evaluate identities with the Node SDK and with the JavaScript SDK."""
    for sdk in SDKS:
        if not (programs.E2E / "node_modules" / sdk).is_dir():
            raise programs.ProgramMissingError(f"{sdk} is not installed (scripts/test installs it with npm)")
    command = [str(programs.require("node")), str(PROGRAM)]

    def run(tenant: Tenant, identities: dict[str, Traits]) -> tuple[list[Flags], list[Flags]]:
        arguments = [tenant.api.url, tenant.environment.key, tenant.environment.server_key, list(identities.items())]
        done = subprocess.run(
            [*command, json.dumps(arguments)], stdout=subprocess.PIPE, check=True, timeout=10 * PATIENCE
        )
        found = json.loads(done.stdout)
        node, javascript = (
            [{name: tuple(flag) for name, flag in flags.items()} for flags in found[sdk]]
            for sdk in ("node", "javascript")
        )
        return node, javascript

    return run


def test_identities__many_segments__all_sdks_have_the_same_flags(tenant: Tenant, evaluate: Evaluate) -> None:
    random = Random(19)
    features = [tenant.add_feature(f"feature_{number}", initial_value="default")["id"] for number in range(10)]
    for number in range(SEGMENTS):
        segment = tenant.api.post(
            f"projects/{tenant.project}/segments/", name=f"segment {number}", rules=segment_rules(random)
        )
        tenant.override(
            features[number % len(features)],
            segment["id"],
            enabled=random.random() < 0.5,
            feature_state_value=text(f"segment {number}"),
        )
    identities = {f"person-{number}": random_traits(random) for number in range(IDENTITIES)}

    node, javascript = evaluate(tenant, identities)

    python = Flagsmith(
        environment_key=tenant.environment.server_key,
        api_url=f"{tenant.api.url}/api/v1/",
        enable_local_evaluation=True,
        environment_refresh_interval_seconds=86_400,
    )
    for index, (identifier, traits) in enumerate(identities.items()):
        local = {
            flag.feature_name: (flag.enabled, flag.value)
            for flag in python.get_identity_flags(identifier, traits).all_flags()
        }
        # Stored by the JavaScript SDK, so the server reads the traits from the database.
        remote = post(tenant, identifier, traits)
        assert local == remote == node[index] == javascript[index], (identifier, traits)
    values = {value for flags in node for _, value in flags.values()}
    assert len(values) > SEGMENTS / 2, "few segments match"
