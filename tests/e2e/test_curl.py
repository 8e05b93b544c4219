"""Streams with ``curl -N``."""

import pytest

from tests.e2e.changes import CHANGES
from tests.support import programs
from tests.support.api import Tenant
from tests.support.processes import Process

pytestmark = pytest.mark.e2e


@pytest.fixture
def curl() -> str:
    return str(programs.require("curl"))


def test_curl__admin_toggles_a_flag__prints_the_event_that_names_the_new_version(curl: str, tenant: Tenant) -> None:
    toggle = CHANGES["toggle"].prepare(tenant)
    url = f"{tenant.api.url}/sse/environments/{tenant.environment.key}/stream"
    process = Process([curl, "--silent", "--show-error", "--no-buffer", "--include", url])
    try:
        process.wait_for_log(f'data: {{"updated_at": {tenant.version()}}}')

        toggle()

        process.wait_for_log(f'data: {{"updated_at": {tenant.version()}}}')
    finally:
        process.kill()
    head, _, body = process.log.partition("\n\n")
    assert head.startswith("HTTP/1.1 200")
    assert "content-type: text/event-stream" in head.lower()
    assert body.count("event: environment_updated") == body.count("data: ") >= 2
