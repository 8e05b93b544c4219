"""Many writers at once, as scripts are: each on a connection of its own, on objects that all of them share."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal

import requests

from tests.support import sse
from tests.support.api import AdminAPI, EnvironmentOfTenant, Tenant, rules

# What another writer may have taken away in the meantime.
GONE = {400, 404, 409}


@dataclass
class Watcher:
    """A subscriber of one environment that fetches after each event, through streams that end and are opened again."""

    tenant: Tenant
    environment: EnvironmentOfTenant
    versions: list[Decimal] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _wanted: Decimal | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self) -> None:
        port = int(self.tenant.api.url.rpartition(":")[2])
        while not self._is_done():
            with sse.connect(port, self.environment.key) as stream:
                if stream.status != 200:
                    self.problems.append(f"the stream answered {stream.status}")
                self._read(stream)

    def finish_at(self, version: Decimal) -> None:
        """Nothing newer will come."""
        with self._changed:
            self._wanted = version

    def _is_done(self) -> bool:
        with self._changed:
            return self._wanted is not None and bool(self.versions) and self.versions[-1] >= self._wanted

    def _read(self, stream: sse.Stream) -> None:
        while not self._is_done():
            try:
                block = stream.next_block(timeout=60)
            except TimeoutError:
                self.problems.append("nothing came for a minute, not even a comment")
                return
            if block is None:
                if stream.ended is not sse.End.CLEAN:
                    self.problems.append(f"the stream ended {stream.ended}")
                return
            if block.is_event:
                self._take(block.updated_at)

    def _take(self, version: Decimal) -> None:
        if self.versions and version < self.versions[-1]:
            self.problems.append(f"{version} came after {self.versions[-1]}")
        if not self.versions or version > self.versions[-1]:
            self.versions.append(version)
        served = self.tenant.version(self.environment)
        if served < version:
            self.problems.append(f"{version} was announced, {served} was served")


class Writer:
    """One script: random operations on a tenant that it shares with others."""

    def __init__(self, tenant: Tenant, number: int, states: list[tuple[str, int]], segment: int) -> None:
        self.random = random.Random(number)
        self.api = AdminAPI(tenant.api.url)
        self.api.session.headers["Authorization"] = tenant.api.session.headers["Authorization"]
        self.tenant = tenant
        self.number = number
        self.states = states
        self.segment = segment
        self.statuses: list[int] = []
        self._features: list[int] = []
        self._made = 0

    def run(self, operations: int) -> None:
        kinds: list[Callable[[], requests.Response]] = [
            self.toggle,
            self.toggle,
            self.toggle,
            self.set_value,
            self.edit_segment,
            self.create_feature,
            self.delete_feature,
            self.override,
            self.change_settings,
        ]
        for _ in range(operations):
            self.statuses.append(self.random.choice(kinds)().status_code)

    def toggle(self) -> requests.Response:
        key, state = self.random.choice(self.states)
        path = f"environments/{key}/featurestates/{state}/"
        return self.api.response("PATCH", path, {"enabled": self.random.random() < 0.5})

    def set_value(self) -> requests.Response:
        key, state = self.random.choice(self.states)
        path = f"environments/{key}/featurestates/{state}/"
        return self.api.response("PUT", path, {"feature_state_value": self.random.randrange(1000)})

    def edit_segment(self) -> requests.Response:
        path = f"projects/{self.tenant.project}/segments/{self.segment}/"
        body = {"name": "shared", "rules": rules(plan=str(self.random.randrange(1000)))}
        return self.api.response("PUT", path, body)

    def create_feature(self) -> requests.Response:
        self._made += 1
        name = f"writer-{self.number}-{self._made}"
        answer = self.api.response("POST", f"projects/{self.tenant.project}/features/", {"name": name})
        if answer.status_code == 201:
            self._features.append(answer.json()["id"])
        return answer

    def delete_feature(self) -> requests.Response:
        if not self._features:
            return self.create_feature()
        return self.api.response("DELETE", f"projects/{self.tenant.project}/features/{self._features.pop()}/")

    def override(self) -> requests.Response:
        if not self._features:
            return self.create_feature()
        environment = self.random.choice(self.tenant.environments)
        path = f"environments/{environment.key}/features/{self._features[-1]}/create-segment-override/"
        body = {
            "feature_segment": {"segment": self.segment},
            "enabled": True,
            "feature_state_value": {"type": "unicode", "string_value": "v"},
        }
        return self.api.response("POST", path, body)

    def change_settings(self) -> requests.Response:
        body = {"hide_disabled_flags": self.random.random() < 0.5}
        return self.api.response("PATCH", f"projects/{self.tenant.project}/", body)


@dataclass(frozen=True)
class Outcome:
    watchers: list[Watcher]
    statuses: list[int]


def race(tenant: Tenant, writers: int, operations: int) -> Outcome:
    """Let so many writers do so many operations each, with a subscriber of each environment."""
    segment = tenant.add_segment("shared", plan="0")["id"]
    features = [tenant.add_feature(f"shared-{number}")["id"] for number in range(3)]
    states = [(place.key, tenant.state(feature, place)["id"]) for place in tenant.environments for feature in features]
    watchers = [Watcher(tenant, environment) for environment in tenant.environments]
    scripts = [Writer(tenant, number, states, segment) for number in range(writers)]
    with ThreadPoolExecutor(len(watchers)) as watching:
        watched = [watching.submit(watcher.run) for watcher in watchers]
        with ThreadPoolExecutor(writers) as writing:
            for written in [writing.submit(script.run, operations) for script in scripts]:
                written.result()
        for watcher in watchers:
            watcher.finish_at(tenant.version(watcher.environment))
        for future in watched:
            future.result(timeout=90)
    return Outcome(watchers, [status for script in scripts for status in script.statuses])
