"""The app in Flagsmith's own processes: each change is announced once, when it commits, however tasks are run."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.changes import TRAITS
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.reading import Read
from tests.flagsmith.sequences import PATIENCE, SEQUENCES, Step, use_versions
from tests.flagsmith.test_changes import now
from tests.support import sse
from tests.support.api import AdminAPI, Tenant, text

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(1_200)]

# Flagsmith's header is a float's text.
MICROSECOND = Decimal("0.000002")

# Entries of the audit log are looked at so many seconds after they were written, and may have been a second version.
LOG_SECONDS = 4

# Steps of the longest sequence, until it begins anew.
LONGEST = 5


@pytest.fixture(scope="module")
def signed_in(app: FlagsmithWithApp) -> AdminAPI:
    return AdminAPI.registered(app.url)


@pytest.fixture
def tenant(app: FlagsmithWithApp, signed_in: AdminAPI) -> Tenant:
    return app.tenant(signed_in)


def settle(app: FlagsmithWithApp) -> None:
    """Wait until Flagsmith's tasks have ended, and until the entries that they logged have been looked at."""
    app.settle()
    time.sleep(LOG_SECONDS)
    app.settle()


def versions_until_quiet(stream: sse.Stream, after: Decimal) -> list[Decimal]:
    """The versions of the events that have come, without repeated ones."""
    found: list[Decimal] = []
    while True:
        try:
            found.append(stream.event_after(max([after, *found]), timeout=0.3).updated_at)
        except TimeoutError:
            return found


class Lane:
    """A tenant, a stream of its environment, and a sequence of changes."""

    def __init__(self, app: FlagsmithWithApp, name: str, token: str) -> None:
        api = AdminAPI(app.url, token)
        api.session.headers["Connection"] = "close"
        self.tenant = app.tenant(api)
        self.steps: Iterator[Step] = SEQUENCES[name](self.tenant)
        self.step = next(self.steps)
        self.stream = sse.connect(app.stream_port, self.tenant.environment.key)
        self.found: list[Decimal] = []
        self.wrong: dict[str, Any] = {}

    def act(self) -> None:
        """Make the change. What the API serves at its last event has to be right."""
        before = now()
        self.step.act()
        self.found = []
        for _ in range(self.step.calls):
            self.found.append(self.stream.event_after(max([before, *self.found]), PATIENCE).updated_at)
        self.wrong = Read.of(self.tenant).unlike(self.step.expected)

    def check(self) -> tuple[str, dict[str, object]]:
        """The kind of change, and what is not as it has to be once all has settled. Goes on to the next step."""
        step, read = self.step, Read.of(self.tenant)
        later = versions_until_quiet(self.stream, self.found[-1])
        last = [*self.found, *later][-1]
        problems = {
            "served at the event": self.wrong,
            "second version": later,
            "header": read.header if abs(read.header - last) > MICROSECOND else None,
            "document": read.version if abs(read.version - last) > MICROSECOND else None,
        }
        self.step = next(self.steps)
        return step.kind, {f"{step.kind}: {name}": problem for name, problem in problems.items() if problem}


def test_app__each_kind_of_change__one_event_and_one_version(app: FlagsmithWithApp, signed_in: AdminAPI) -> None:
    token = str(signed_in.session.headers["Authorization"]).removeprefix("Token ")
    kinds: set[str] = set()
    problems: dict[str, object] = {}
    with ThreadPoolExecutor(len(SEQUENCES)) as threads:
        lanes = list(threads.map(lambda name: Lane(app, name, token), SEQUENCES))
        settle(app)
        app.analyze()
        for _ in range(LONGEST):
            list(threads.map(Lane.act, lanes))
            settle(app)
            for kind, found in threads.map(Lane.check, lanes):
                kinds.add(kind)
                problems |= found
    for lane in lanes:
        lane.stream.close()
    assert (len(kinds), problems) == (25, {})


def described(tenant: Tenant) -> None:
    path = f"environments/{tenant.environment.key}/"
    kept = {name: value for name, value in tenant.api.get(path).items() if name in ("name", "project")}
    tenant.api.put(path, **kept, description="for tests")


def unchanged(tenant: Tenant) -> None:
    feature = tenant.api.get(f"projects/{tenant.project}/features/")["results"][0]["id"]
    state = tenant.state(feature)
    tenant.change(feature, enabled=state["enabled"], feature_state_value=state["feature_state_value"])


def segment_unchanged(tenant: Tenant) -> None:
    path = f"projects/{tenant.project}/segments/"
    segment = tenant.api.get(path)["results"][0]
    rules = _without_ids(tenant.api.get(f"{path}{segment['id']}/")["rules"])
    tenant.api.put(f"{path}{segment['id']}/", name=segment["name"], rules=rules)


def _without_ids(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "type": rule["type"],
            "rules": _without_ids(rule.get("rules", [])),
            "conditions": [
                {name: condition[name] for name in ("operator", "property", "value")}
                for condition in rule["conditions"]
            ],
        }
        for rule in rules
    ]


def tagged(tenant: Tenant) -> None:
    tenant.api.post(f"projects/{tenant.project}/tags/", label="urgent", color="#ff0000", project=tenant.project)


def project_limits(tenant: Tenant) -> None:
    tenant.api.patch(f"projects/{tenant.project}/", stale_flags_limit_days=7)


def identified(tenant: Tenant) -> None:
    tenant.api.post(f"environments/{tenant.environment.key}/identities/", identifier="nobody yet")


INVISIBLE: list[Callable[[Tenant], None]] = [
    described,
    unchanged,
    segment_unchanged,
    tagged,
    project_limits,
    identified,
]


def test_app__changes_that_do_not_show__no_event_and_no_version(app: FlagsmithWithApp, signed_in: AdminAPI) -> None:
    """Each one in a tenant of its own."""
    tenants = {change.__name__: app.tenant(signed_in) for change in INVISIBLE}
    for tenant in tenants.values():
        tenant.add_feature("banner", initial_value="old")
        tenant.add_segment("professionals", **TRAITS)
    settle(app)
    with ExitStack() as stack:
        streams = {
            name: stack.enter_context(sse.connect(app.stream_port, tenant.environment.key))
            for name, tenant in tenants.items()
        }
        before = {name: stream.next_event().updated_at for name, stream in streams.items()}
        for change in INVISIBLE:
            change(tenants[change.__name__])
        settle(app)
        events = {name: versions_until_quiet(stream, before[name]) for name, stream in streams.items()}
    assert {name for name, versions in events.items() if versions} == set()
    reads = {name: Read.of(tenant) for name, tenant in tenants.items()}
    assert {name for name, read in reads.items() if abs(read.header - before[name]) > MICROSECOND} == set()
    assert {name for name, read in reads.items() if abs(read.version - before[name]) > MICROSECOND} == set()


def test_app__draft_of_a_version__silent_until_it_is_published(app: FlagsmithWithApp, tenant: Tenant) -> None:
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    use_versions(tenant)
    settle(app)
    path = f"environments/{tenant.environment.id}/features/{feature}/versions/"
    with sse.connect(app.stream_port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        version = tenant.api.post(path)["uuid"]
        state = tenant.api.get(f"{path}{version}/featurestates/")[0]
        draft = {**state, "enabled": True, "feature_state_value": text("new")}
        tenant.api.put(f"{path}{version}/featurestates/{state['id']}/", **draft)
        settle(app)
        assert versions_until_quiet(stream, before) == []

        tenant.api.post(f"{path}{version}/publish/")

        published = stream.event_after(before, PATIENCE).updated_at
        assert Read.of(tenant).unlike({"everyone.banner": (True, "new")}) == {}
        settle(app)
        assert versions_until_quiet(stream, published) == []


FORGOTTEN = """
from features.models import FeatureState
state = FeatureState.objects.get(id={state})
state.enabled = True
state.save()
"""


def test_app__changes_that_flagsmith_does_not_announce__announced(app: FlagsmithWithApp, tenant: Tenant) -> None:
    option = {"type": "unicode", "string_value": "first", "default_percentage_allocation": 100}
    feature = tenant.add_feature(
        "banner", type="MULTIVARIATE", initial_value="old", default_enabled=True, multivariate_options=[option]
    )
    plain = tenant.add_feature("plain", initial_value="old")["id"]
    state = tenant.state(plain)["id"]
    path = f"projects/{tenant.project}/features/{feature['id']}/mv-options/{feature['multivariate_options'][0]['id']}/"
    settle(app)
    with sse.connect(app.stream_port, tenant.environment.key) as stream:
        version = stream.next_event().updated_at

        tenant.api.put(path, feature=feature["id"], **option | {"string_value": "second"})
        version = stream.event_after(version).updated_at
        assert Read.of(tenant).unlike({"identified.banner": (True, "second")}) == {}

        tenant.api.patch(f"projects/{tenant.project}/", hide_disabled_flags=True)
        version = stream.event_after(version).updated_at
        assert Read.of(tenant).unlike({"flags.plain": None}) == {}

        app.manage("shell", "--command", FORGOTTEN.format(state=state))
        version = stream.event_after(version).updated_at
        assert Read.of(tenant).unlike({"everyone.plain": (True, "old")}) == {}
        settle(app)
        assert versions_until_quiet(stream, version) == []


def test_app__switch_off__silent_and_the_newest_at_once_when_it_is_on(app: FlagsmithWithApp, tenant: Tenant) -> None:
    feature = tenant.add_feature("banner", initial_value="old")["id"]
    settle(app)
    with sse.connect(app.stream_port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=False)
        tenant.change(feature, enabled=True)
        settle(app)
        assert versions_until_quiet(stream, before) == []

        tenant.api.patch(f"projects/{tenant.project}/", enable_realtime_updates=True)

        newest = stream.event_after(before).updated_at
        assert abs(newest - Read.of(tenant).header) <= MICROSECOND
