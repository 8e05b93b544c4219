"""Java's HTTP client, which asks for h2c (``Upgrade``) in each first request over plain HTTP."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.api import Tenant
from tests.support.patience import PATIENCE
from tests.support.relay import RelayServer

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REQUESTS = Path(__file__).with_name("Requests.java")

IDENTITY = json.dumps({"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "pro"}]})
CONTEXT = json.dumps({"context": {"targetingKey": "ada"}})
POSTS = (
    ("/ofrep/v1/evaluate/flags", CONTEXT),
    ("/api/v1/identities/", IDENTITY),
    ("/ofrep/v1/evaluate/flags", CONTEXT),
)


def flags(url: str, key: str, posts: tuple[tuple[str, str], ...]) -> list[str]:
    """The names of each answer's flags."""
    arguments = [argument for path, body in posts for argument in (url + path, body)]
    command = [str(programs.require("java")), str(REQUESTS), key, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    names = []
    for line in done.stdout.splitlines():
        status, version, body = line.split(" ", 2)
        assert (status, version) == ("200", "HTTP_1_1"), line
        (flag,) = json.loads(body)["flags"]
        names.append(flag.get("key") or flag["feature"]["name"])
    return names


@pytest.mark.parametrize("first", [0, 1])
def test_java__posts__each_is_answered_on_a_usable_connection(tenant: Tenant, tmp_path: Path, first: int) -> None:
    tenant.add_feature("banner")
    environment, posts = tenant.environment, POSTS[first:]

    assert flags(tenant.api.url, environment.key, posts) == ["banner"] * len(posts)

    with RelayServer(tmp_path, f"{tenant.api.url}/api/v1", environment) as relay:
        assert flags(relay.url, environment.key, posts) == ["banner"] * len(posts)
