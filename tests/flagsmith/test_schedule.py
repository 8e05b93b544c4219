"""Flagsmith's change requests and scheduled changes: events when they go live, as far as Flagsmith announces it."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.e2e.changes import toggle
from tests.flagsmith.change_requests import ChangeRequest, commit
from tests.flagsmith.conftest import Plugged
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Tasks
from tests.flagsmith.reading import Read
from tests.flagsmith.sequences import PATIENCE, publish, use_versions
from tests.support import sse
from tests.support.api import AdminAPI, Tenant, text

# The time until a scheduled change goes live. It is long enough for the process that commits it.
SECONDS = 10

OFF = {"everyone.banner": (False, "old")}
ON = {"everyone.banner": (True, "new")}

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(600)]


def now() -> Decimal:
    return Decimal(time.time_ns()) / 1_000_000_000


def prepared(plugged: Plugged, api: AdminAPI, versions: bool, seconds: int = 0) -> ChangeRequest:
    """A change request of a new tenant for a feature that is off, with or without versioning v2."""
    tenant = plugged.flagsmith.tenant(api)
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    if versions:
        use_versions(tenant)
    return ChangeRequest(tenant, feature, "new", seconds)


def wait_until(moment: datetime) -> None:
    """Wait until this time. Flagsmith uses the same clock."""
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def listen(plugged: Plugged, tenant: Tenant) -> sse.Stream:
    return sse.connect(plugged.stream_port, tenant.environment.key)


def assert_silent(plugged: Plugged, api: AdminAPI, stream: sse.Stream, since: Decimal) -> None:
    """Assert that the stream gets no event before that of a change by another tenant."""
    other = plugged.flagsmith.tenant(api)
    act = toggle(other)
    with listen(plugged, other) as marker:
        before = now()
        act()
        marker.event_after(before, PATIENCE)
    with pytest.raises(TimeoutError):
        stream.event_after(since, timeout=0.5)


def test_plugged__change_request_committed__event_and_served(plugged: Plugged, api: AdminAPI) -> None:
    requests = [prepared(plugged, api, versions) for versions in (False, True)]
    plugged.flagsmith.settle()
    with ExitStack() as stack:
        streams = [stack.enter_context(listen(plugged, request.tenant)) for request in requests]
        before = now()

        commit(plugged.flagsmith, *requests)

        for request, stream in zip(requests, streams, strict=True):
            stream.event_after(before, PATIENCE)
            assert Read.of(request.tenant).unlike(ON) == {}


def test_plugged__change_request_for_later__event_when_it_goes_live(plugged: Plugged, api: AdminAPI) -> None:
    """Flagsmith schedules with its task processor alone. Without it, an environment with feature versioning v2 does not
    even get what is scheduled; the other one does, by the clock, and only the app announces that.
    """
    requests = [prepared(plugged, api, versions, SECONDS) for versions in (False, True)]
    plugged.flagsmith.settle()
    with ExitStack() as stack:
        streams = [stack.enter_context(listen(plugged, request.tenant)) for request in requests]
        before = now()

        moments = commit(plugged.flagsmith, *requests)

        for request, stream, moment in zip(requests, streams, moments, strict=True):
            versions = request is requests[1]
            by_clock = isinstance(plugged, FlagsmithWithApp) and not versions
            if by_clock or plugged.flagsmith.tasks is Tasks.PROCESSOR:
                # The first event at all.
                event = stream.event_after(before, SECONDS + PATIENCE)
                assert datetime.now(UTC) >= moment
                assert event.updated_at >= Decimal(moment.timestamp()) - Decimal("0.000001")
                assert Read.of(request.tenant).unlike(ON) == {}
            else:
                wait_until(moment)
                assert_silent(plugged, api, stream, before)
                assert Read.of(request.tenant).unlike(OFF if versions else ON) == {}


def test_plugged__version_published_for_later__event_when_it_goes_live_by_the_app_alone(
    plugged: Plugged, api: AdminAPI
) -> None:
    """Flagsmith announces it when it is published, which is too early, and then no more."""
    tenant, feature, value, _ = prepared(plugged, api, versions=True)
    plugged.flagsmith.settle()
    live_from = datetime.now(UTC) + timedelta(seconds=SECONDS)
    state = {"feature_segment": None, "enabled": True, "feature_state_value": text(value)}
    with listen(plugged, tenant) as stream:
        before = now()

        publish(tenant, feature, feature_states_to_update=[state], live_from=live_from.isoformat())

        if isinstance(plugged, FlagsmithWithApp):
            event = stream.event_after(before, SECONDS + PATIENCE)
            assert event.updated_at >= Decimal(live_from.timestamp())
            assert Read.of(tenant).unlike(ON) == {}
            return
        published = stream.event_after(before, PATIENCE).updated_at
        if datetime.now(UTC) < live_from:
            assert Read.of(tenant).unlike(OFF) == {}
        wait_until(live_from)
        assert Read.of(tenant).unlike(ON) == {}
        assert_silent(plugged, api, stream, published)
