"""Usage counts of opened streams."""

import asyncio
from typing import Any

import pytest
from rest_framework.test import APIClient

from app_analytics.meter import Meter
from environments.models import Environment
from organisations.models import Organisation
from projects.models import Project
from realtime import runtime
from tests.app_analytics.conftest import TODAY
from tests.support.asgi import stream

pytestmark = pytest.mark.django_db(transaction=True)


async def test_streams__opened__counted_once_and_not_billable(
    meter: Meter,
    admin: APIClient,
    organisation: Organisation,
    project: Project,
    environment: Environment,
    settings: Any,
) -> None:
    settings.REALTIME_KEEPALIVE_SECONDS = 0.05
    try:
        for key in (environment.api_key, environment.api_key, "unknown"):
            async with stream(key) as client:
                await client.opened()
                await client.until(lambda client: len(client.chunks) >= 4)
    finally:
        await runtime.current().close()
    await asyncio.to_thread(meter.thread.stop)
    path = f"/api/v1/organisations/{organisation.pk}/usage-data/"
    streams, billable, total = await asyncio.to_thread(
        lambda: [admin.get(f"{path}{each}").json() for each in ("streams/", "", "total-count/")]
    )
    assert streams == [{"day": str(TODAY), "count": 2}]
    assert (billable, total) == ([], {"count": 0})
