"""Streams of OpenFeature providers, on real sockets. ``Stream``'s own tests check what both kinds of stream share."""

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from realtime.conf import RealtimeSettings
from tests.ofrep import protocol
from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import MOSTLY_UVICORN, MigratedSQLite, ServerProcess

PATH = "/ofrep/v1/streams/{key}"


@pytest.fixture(scope="module", params=MOSTLY_UVICORN)
def server(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp(f"streams-{request.param}"))
    intervals = {"REALTIME_KEEPALIVE_SECONDS": "0.5", "REALTIME_REPEAT_SECONDS": "0", "REALTIME_STREAM_SECONDS": "2"}
    with ServerProcess(variables | intervals, flavour=request.param) as server:
        yield server


@pytest.fixture
def feature(fresh_tenant: Tenant) -> int:
    feature: int = fresh_tenant.add_feature("banner")["id"]
    return feature


@pytest.fixture
def connect(server: ServerProcess, fresh_tenant: Tenant) -> Iterator[Callable[..., sse.Stream]]:
    streams: list[sse.Stream] = []

    def open_stream(key: str = "", path: str = PATH, **headers: str) -> sse.Stream:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        stream = sse.connect(server.port, key or fresh_tenant.environment.key, named, path=path)
        streams.append(stream)
        stream.next_block()
        return stream

    yield open_stream
    for stream in streams:
        stream.close()


def test_stream__connect_and_change__events_with_identifier_and_version(
    connect: Callable[..., sse.Stream], fresh_tenant: Tenant, feature: int
) -> None:
    stream = connect()
    for change in (lambda: None, lambda: fresh_tenant.change(feature, enabled=True)):
        change()
        event, version = stream.next_event(), str(fresh_tenant.version())
        at = datetime.fromtimestamp(float(version)).astimezone()

        assert event.data.startswith(f"id: {version}\nevent: message\ndata: {{".encode())
        data = protocol.check_event(event.fields["data"])
        assert (data["type"], data["etag"]) == ("refetchEvaluation", version)
        assert abs(datetime.fromisoformat(data["lastModified"]) - at).total_seconds() < 0.001
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    assert stream.headers["access-control-allow-origin"] == "*"
    # Milliseconds until EventSource clients connect again.
    assert stream.body.startswith(b"retry: 1000\n")


def test_stream__last_event_id__only_a_newer_event(
    connect: Callable[..., sse.Stream], fresh_tenant: Tenant, feature: int
) -> None:
    first = connect().next_event()
    known = connect(Last_Event_ID=first.fields["id"])
    assert b"nothing is newer" in known.next_comment().data

    fresh_tenant.change(feature, enabled=True)

    second = known.next_event()
    assert second.fields["id"] > first.fields["id"]
    assert connect(Last_Event_ID=first.fields["id"]).next_event().data == second.data
    assert connect(Last_Event_ID="no version").next_event().data == second.data


def test_stream__gate_closes__no_event_until_it_opens(
    connect: Callable[..., sse.Stream], fresh_tenant: Tenant, feature: int
) -> None:
    tenant, stream = fresh_tenant, connect()
    stream.next_event()

    tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=False)
    tenant.change(feature, enabled=True)
    closed = connect()
    assert b"real-time updates are off" in closed.next_comment().data
    tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=True)

    for each in (stream, closed):
        assert each.next_event().fields["id"] == str(tenant.version())


@pytest.mark.parametrize("key", ["unknown", "%20", "%00", "%FF", "%2F", "", "a/b", "a" * 3000])
def test_stream__any_other_key__200_with_the_reason(connect: Callable[..., sse.Stream], key: str) -> None:
    stream = connect(path=f"/ofrep/v1/streams/{key}")
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    assert b"no environment has this key" in stream.next_comment().data


def test_stream__server_side_key__no_events(connect: Callable[..., sse.Stream], fresh_tenant: Tenant) -> None:
    stream = connect(fresh_tenant.environment.server_key)
    assert b"no environment has this key" in stream.next_comment().data


def test_stream__age__longer_than_of_other_streams(
    connect: Callable[..., sse.Stream], fresh_tenant: Tenant, feature: int
) -> None:
    stream, of_sdk = connect(), connect(path="/sse/environments/{key}/stream")
    stream.next_event()
    assert of_sdk.end() is sse.End.CLEAN

    fresh_tenant.change(feature, enabled=True)

    assert stream.next_event().fields["id"] == str(fresh_tenant.version())
    assert RealtimeSettings.OFREP_STREAM_SECONDS.default == 3600
