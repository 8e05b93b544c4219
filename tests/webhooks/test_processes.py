"""Delivery by server processes and by ``manage.py deliver_webhooks``, also after a process was killed."""

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.support import programs
from tests.support.api import AdminAPI, Tenant
from tests.support.patience import PATIENCE, START
from tests.support.processes import Process
from tests.support.receiver import Receiver
from tests.support.server import MOSTLY_UVICORN, ServerProcess, environ

pytestmark = pytest.mark.e2e

ALLOWED = {"WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}


def tenant_with_webhook(server: ServerProcess, receiver: Receiver) -> tuple[Tenant, int]:
    """A tenant with a webhook to the receiver, and the id of a feature that was created before the webhook."""
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner")["id"]
    tenant.api.post(f"environments/{tenant.environment.key}/webhooks/", url=receiver.url, secret="s")
    return tenant, feature


def unfinished(server: ServerProcess) -> int:
    """The number of unfinished deliveries."""
    with closing(sqlite3.connect(Path(server.variables["VAR_DIR"]) / "db.sqlite3", timeout=PATIENCE)) as connection:
        row = connection.execute("SELECT count(*) FROM webhooks_delivery WHERE finished_at IS NULL").fetchone()
        return int(row[0])


@pytest.mark.slow
def test_server__killed_between_the_change_and_its_delivery__another_process_delivers(
    start_server: Callable[..., ServerProcess], receiver: Receiver
) -> None:
    server = start_server(DELIVER_WEBHOOKS="false", **ALLOWED)
    tenant, feature = tenant_with_webhook(server, receiver)
    tenant.change(feature, enabled=True)
    server.process.send(SIGKILL)
    server.process.wait()
    assert unfinished(server) == 1
    assert receiver.rest() == []

    command = [sys.executable, "manage.py", "deliver_webhooks"]
    process = Process(command, environ=environ(**server.variables), cwd=programs.ROOT)
    try:
        assert receiver.next(START).json()["data"]["new_state"]["enabled"] is True
        process.wait_until(lambda: unfinished(server) == 0)
        assert process.stop() == 0
        assert "deliverer_ended" in process.log
    finally:
        process.kill()


@pytest.mark.parametrize("flavour", MOSTLY_UVICORN)
def test_server__flag_changed__delivers_and_ends_cleanly(
    start_server: Callable[..., ServerProcess], receiver: Receiver, flavour: str
) -> None:
    server = start_server(flavour, **ALLOWED)
    tenant, feature = tenant_with_webhook(server, receiver)
    scope = {"type": "environment", "id": tenant.environment.key}
    assert tenant.api.post("webhooks/test/", webhook_url=receiver.url, scope=scope)["status"] == 200
    assert receiver.next().json()["data"]["new_state"]["feature"]["name"] == "example_feature"
    tenant.change(feature, enabled=True)
    assert receiver.next().json()["data"]["new_state"]["feature"]["name"] == "banner"
    server.process.wait_until(lambda: unfinished(server) == 0)
    server.stop()
    assert "deliverer_ended" in server.log
    assert "Traceback" not in server.log
