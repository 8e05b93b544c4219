"""Concurrent writers with a connection each, which change the same objects by operations of the catalogue."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.operations.catalogue import BY_NAME
from tests.operations.objects import CHANGE_REQUESTS, change_request, rules
from tests.operations.tenant_world import TenantWorld
from tests.races import LOCK_PATIENCE
from tests.races.watcher import Watcher
from tests.support.api import AdminAPI, EnvironmentOfTenant, Tenant
from tests.support.patience import PATIENCE


@dataclass(frozen=True)
class Shared:
    """The objects that all writers change."""

    tenant: Tenant
    segment: int
    features: list[int]
    states: dict[tuple[str, int], int]
    """The states by environment and feature. A change request replaces them, so they may be out of date."""

    @classmethod
    def create(cls, tenant: Tenant) -> "Shared":
        segment = tenant.add_segment("shared", plan="0")["id"]
        features = [tenant.add_feature(f"shared-{number}")["id"] for number in range(3)]
        pairs = [(environment, feature) for environment in tenant.environments for feature in features]
        states = {
            (environment.key, feature): tenant.state(feature, environment)["id"] for environment, feature in pairs
        }
        return cls(tenant, segment, features, states)


class WriterWorld(TenantWorld):
    """The objects and values of one operation of a writer."""

    def __init__(self, writer: "Writer", environment: EnvironmentOfTenant, feature: int) -> None:
        shared, chance = writer.shared, writer.random
        super().__init__(shared.tenant, environment, writer.api)
        self.answers = writer.answers
        self.feature = {"id": feature}
        self.segment = {"id": shared.segment}
        self.state = {"id": shared.states.get((environment.key, feature))}
        self.toggled = self.disabled_flags_hidden = chance.random() < 0.5
        self.value = chance.randrange(1000)
        self.object_value = {"type": "unicode", "string_value": str(self.value)}
        self.new_rules = rules(str(self.value))
        self.new_name = f"writer-{writer.number}-{writer.answers.total()}"

    def answer(self, method: str, path: str, body: Any, key: str) -> tuple[int, bytes]:
        status, content = super().answer(method, path, body, key)
        self.answers[status] += 1
        return status, content

    def status(self, name: str) -> int:
        """Perform the operation of this name, and return the status of the response."""
        operation = BY_NAME[name]
        return self.answer(operation.method, operation.path(self), operation.content(self), operation.key)[0]

    def schedule(self, after: timedelta) -> Any:
        """Commit a change request that becomes due after this time."""
        body = change_request((datetime.now(UTC) + after).isoformat())
        request = self.call("POST", "environments/{a}/create-change-request/", body)
        return self.call("POST", f"{CHANGE_REQUESTS}{request['id']}/commit/")


class Writer:
    """A script: random operations, each of which is one request or several.

    Requests of other writers come in between, so some requests may be refused.
    """

    def __init__(self, shared: Shared, number: int) -> None:
        self.random = random.Random(number)
        self.shared = shared
        self.number = number
        self.api = AdminAPI(shared.tenant.api.url)
        self.api.timeout = LOCK_PATIENCE
        self.api.session.headers["Authorization"] = shared.tenant.api.session.headers["Authorization"]
        self.operations: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self._features: list[int] = []

    def run(self, operations: int) -> None:
        kinds: dict[str, Callable[[str], object]] = {
            "default: on, by PATCH": self.change_state,
            "default: value": self.change_state,
            "feature: created": self.create_feature,
            "feature: deleted": self.delete_feature,
            "override: in one step": self.override_own_feature,
            "change request: committed, live now": self.commit,
            "deleted as it becomes due": self.delete_due_request,
            "feature deleted as a request becomes due": self.delete_scheduled_feature,
            **dict.fromkeys(
                (
                    "segment: rules",
                    "project: hide disabled flags",
                    "change request: deleted",
                    "change request: deleted before it is due",
                    "segment change request: committed",
                ),
                self.perform,
            ),
        }
        names = [*kinds, *2 * ["default: on, by PATCH"]]
        for _ in range(operations):
            name = self.random.choice(names)
            self.operations[name] += 1
            kinds[name](name)

    def world(self, feature: int | None = None) -> WriterWorld:
        """A random environment, and a random shared feature if none is given."""
        environment = self.random.choice(self.shared.tenant.environments)
        return WriterWorld(self, environment, feature or self.random.choice(self.shared.features))

    def perform(self, name: str) -> None:
        self.world().perform(BY_NAME[name])

    def change_state(self, name: str) -> None:
        """404: a change request has replaced the state."""
        world = self.world()
        status = world.status(name)
        assert status in (200, 404)
        if status == 404:
            del world.state
            self._remember(world)

    def commit(self, name: str) -> None:
        world = self.world()
        world.perform(BY_NAME[name])
        del world.state
        self._remember(world)

    def _remember(self, world: WriterWorld) -> None:
        self.shared.states[world.a.api_key, world.feature["id"]] = world.state["id"]

    def create_feature(self, name: str) -> None:
        self._features.append(self.world().perform(BY_NAME[name])["id"])

    def delete_feature(self, name: str) -> None:
        self.world(self._take_feature()).perform(BY_NAME[name])

    def override_own_feature(self, name: str) -> None:
        """400: the segment overrides it already."""
        self._features.append(self._take_feature())
        assert self.world(self._features[-1]).status(name) in (201, 400)

    def delete_due_request(self, name: str) -> None:
        """400: the scheduler was faster."""
        world = self.world()
        request = world.schedule(timedelta(seconds=self.random.random() / 2))
        path = f"/api/v1/{CHANGE_REQUESTS}{request['id']}/"
        assert world.answer("DELETE", path, None, "user")[0] in (204, 400)

    def delete_scheduled_feature(self, name: str) -> None:
        """The request is applied before, or fails."""
        world = self.world(self._take_feature())
        world.schedule(timedelta(seconds=self.random.random() / 2))
        world.perform(BY_NAME["feature: deleted"])

    def _take_feature(self) -> int:
        """Take a feature from those that this writer has created."""
        if not self._features:
            self.create_feature("feature: created")
        return self._features.pop()


@dataclass
class Outcome:
    shared: Shared
    watchers: list[Watcher]
    operations: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)

    def __str__(self) -> str:
        """The figures of the long version."""
        versions = {watcher.environment.name: len(watcher.versions) for watcher in self.watchers}
        return (
            f"{self.operations.total()} operations {dict(self.operations)}\n"
            f"{self.answers.total()} requests {dict(sorted(self.answers.items()))}\n"
            f"versions received {versions}"
        )


def race(tenant: Tenant, writers: int, operations: int) -> Outcome:
    """Run writers concurrently, with a subscriber of each environment."""
    shared = Shared.create(tenant)
    watchers = [Watcher(tenant, environment) for environment in tenant.environments]
    outcome = Outcome(shared, watchers)
    scripts = [Writer(shared, number) for number in range(writers)]
    with ThreadPoolExecutor(len(watchers)) as watching:
        watched = [watching.submit(watcher.run) for watcher in watchers]
        try:
            with ThreadPoolExecutor(writers) as writing:
                for written in [writing.submit(script.run, operations) for script in scripts]:
                    written.result()
        finally:
            for watcher in watchers:
                watcher.finish_at(tenant.version(watcher.environment))
        for future in watched:
            future.result(timeout=PATIENCE)
    for script in scripts:
        outcome.operations += script.operations
        outcome.answers += script.answers
    return outcome
