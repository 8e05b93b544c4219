"""``manage.py serve``: what it refuses, and several workers."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.server import MigratedSQLite, ServerProcess


@pytest.mark.parametrize(
    "options", [{"port": 0}, {"port": 65_536}, {"port": 8000, "workers": 0}], ids=["no port", "high port", "no worker"]
)
def test_serve__impossible_option__refused_with_its_name(options: dict[str, int]) -> None:
    with pytest.raises(CommandError, match="--"):
        call_command("serve", **options)


def test_serve__two_workers_on_sqlite__warns_and_the_reconcile_brings_events_to_both(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    server = ServerProcess(sqlite_template.copy(tmp_path), arguments=("--workers=2",))
    with server:
        server.process.wait_for_log("Several workers")
        tenant = Tenant.create(AdminAPI.registered(server.url))
        feature = tenant.add_feature("banner")["id"]
        streams = [sse.connect(server.port, tenant.environment.key) for _ in range(16)]
        before = [stream.next_event().updated_at for stream in streams]
        tenant.change(feature, enabled=True)
        version = tenant.version()
        after = [stream.event_after(was).updated_at for stream, was in zip(streams, before, strict=True)]
        assert set(after) == {version}
        for stream in streams:
            stream.close()
