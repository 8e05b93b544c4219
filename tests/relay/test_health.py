"""Health and version of a relay's process, without a server."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from realtime.monitoring import metrics
from realtime.relay import environments, gauges, health  # noqa: F401
from realtime.relay.configuration import Configuration, KeyPair
from realtime.relay.directory import Directory
from realtime.relay.environments import Environments
from realtime.relay.upstream import Upstream, UpstreamError
from realtime.types import Receive, Scope, Send

PAIRS = (KeyPair("ser.shop", "shop"), KeyPair("ser.other", "other"))


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def made(tmp_path: Path, closed_runtime: None) -> AsyncIterator[Environments]:
    configuration = Configuration(PAIRS)
    upstream = Upstream(configuration)
    made = Environments(configuration, upstream, Directory(tmp_path))
    environments.use(made)
    yield made
    environments.use(None)
    await made.close()
    await upstream.close()


async def request(path: str, method: str = "GET") -> httpx.Response:
    transport = httpx.ASGITransport(health.with_health(not_found))
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        return await client.request(method, path)


async def test_before_the_start__not_updated_and_not_ready() -> None:
    response = await request("/proxy/health")

    assert (response.status_code, response.json()["last_successful_update"]) == (503, None)
    assert health.documents().problem == "the relay has not started"


async def test_documents__missing__a_problem_unless_the_upstream_rejects_the_key(made: Environments) -> None:
    _, other = made.by_client_key.values()
    assert health.documents().problem == "no document of 2 of 2 environments: not fetched yet"

    other.problem = UpstreamError("unauthorized", "rejected", status=401)
    part = health.documents()
    assert part.problem == "no document of 2 of 2 environments: not fetched yet, unauthorized"
    assert part.report["failing"] == {"other": "unauthorized: the upstream answers 401"}


async def test_metrics__documents_missing__no_age(made: Environments) -> None:
    scraped = metrics.scrape("")[0].decode()

    assert 'realtime_relay_document_missing{environment="shop"} 1.0' in scraped
    assert "realtime_relay_document_age_seconds{" not in scraped


async def test_version__flagsmiths_format() -> None:
    version = (await request("/version/")).json()

    assert version["image_tag"]
    assert (await request("/version", "HEAD")).content == b""
    assert (await request("/version", "POST")).status_code == 404


async def test_health__no_environments__ok(tmp_path: Path, closed_runtime: None) -> None:
    configuration = Configuration(())
    upstream = Upstream(configuration)
    made = Environments(configuration, upstream, Directory(tmp_path))
    environments.use(made)
    body: dict[str, Any] = (await request("/health")).json()
    environments.use(None)
    await made.close()
    await upstream.close()

    assert body["status"] == "ok"
    assert datetime.fromisoformat(body["last_successful_update"])
