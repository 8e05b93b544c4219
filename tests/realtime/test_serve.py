"""``manage.py serve``: invalid options, and several workers."""

import os
import signal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.callers import Callers
from tests.support.server import MigratedSQLite, ServerProcess


@pytest.mark.parametrize(
    "options", [{"port": 0}, {"port": 65_536}, {"port": 8000, "workers": 0}], ids=["no port", "high port", "no worker"]
)
def test_serve__invalid_option__error_names_it(options: dict[str, int]) -> None:
    with pytest.raises(CommandError, match="--"):
        call_command("serve", **options)


@pytest.mark.slow
def test_serve__two_workers_on_sqlite__deliver_changes_and_restart_without_broken_connections(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    variables = sqlite_template.copy(tmp_path) | {"REALTIME_DRAIN_SECONDS": "1"}
    with ServerProcess(variables, arguments=("--workers=2",)) as server:
        server.process.wait_for_log("Several workers")
        tenant = Tenant.create(AdminAPI.registered(server.url))
        feature = tenant.add_feature("banner")["id"]
        streams = [sse.connect(server.port, tenant.environment.key) for _ in range(16)]
        before = [stream.next_event().updated_at for stream in streams]
        tenant.change(feature, enabled=True)
        version = tenant.version()
        after = [stream.event_after(was).updated_at for stream, was in zip(streams, before, strict=True)]
        assert set(after) == {version}
        callers = Callers(server.port, 2)
        server.process.send(signal.SIGHUP)
        server.process.wait_for_log("drain_started")
        # Like systemd, to all processes of the group.
        os.killpg(server.process.pid, signal.SIGTERM)
        assert server.process.wait() == 0
        callers.join()
        assert callers.broken == []
        assert {stream.end() for stream in streams} == {sse.End.CLEAN}
