"""Many writers at once, as scripts are: each on a connection of its own, on objects that all of them share."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.races import LOCK_PATIENCE
from tests.races.watcher import Watcher
from tests.support.api import AdminAPI, Tenant, rules, text
from tests.support.patience import PATIENCE

CHANGE_REQUESTS = "features/workflows/change-requests/"


@dataclass(frozen=True)
class Shared:
    """What all writers change."""

    tenant: Tenant
    segment: int
    features: list[int]
    states: dict[tuple[str, int], int]
    """The live states as somebody last saw them, by environment and feature: a change request puts others there."""

    @classmethod
    def create(cls, tenant: Tenant) -> "Shared":
        segment = tenant.add_segment("shared", plan="0")["id"]
        features = [tenant.add_feature(f"shared-{number}")["id"] for number in range(3)]
        places = [(place, feature) for place in tenant.environments for feature in features]
        states = {(place.key, feature): tenant.state(feature, place)["id"] for place, feature in places}
        return cls(tenant, segment, features, states)


class Writer:
    """One script: random operations, each of them one request or more.

    Other writers come in between its requests, so some may be refused; each call names the answers that there may be.
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
        self.unexpected: list[str] = []
        self._features: list[int] = []
        self._made = 0

    def run(self, operations: int) -> None:
        kinds: list[Callable[[], object]] = [
            self.toggle,
            self.toggle,
            self.toggle,
            self.set_value,
            self.edit_segment,
            self.create_feature,
            self.delete_feature,
            self.override,
            self.change_settings,
            self.commit_at_once,
            self.delete_draft,
            self.delete_scheduled,
            self.delete_as_it_comes_due,
            self.delete_what_is_scheduled,
            self.commit_segment,
        ]
        for _ in range(operations):
            kind = self.random.choice(kinds)
            self.operations[kind.__name__] += 1
            kind()

    def call(self, method: str, path: str, body: Any, *may_be: int) -> requests.Response:
        answer = self.api.response(method, path, body)
        self.answers[answer.status_code] += 1
        if answer.status_code not in may_be:
            self.unexpected.append(f"{method} {path} {body}: {answer.status_code} {answer.text}")
        return answer

    # Feature states.

    def toggle(self) -> None:
        self._write_state("PATCH", {"enabled": self.random.random() < 0.5})

    def set_value(self) -> None:
        self._write_state("PUT", {"feature_state_value": self.random.randrange(1000)})

    def _write_state(self, method: str, body: Any) -> None:
        place = self.random.choice(list(self.shared.states))
        path = f"environments/{place[0]}/featurestates/"
        if self.call(method, f"{path}{self.shared.states[place]}/", body, 200, 404).status_code == 404:
            # A change request has put another state there.
            found = self.call("GET", f"{path}?feature={place[1]}", None, 200).json()
            self.shared.states[place] = found["results"][0]["id"]

    # Segments, features, settings.

    def edit_segment(self) -> None:
        path = f"projects/{self.shared.tenant.project}/segments/{self.shared.segment}/"
        self.call("PUT", path, self._segment(), 200)

    def create_feature(self) -> None:
        self._made += 1
        body = {"name": f"writer-{self.number}-{self._made}"}
        answer = self.call("POST", f"projects/{self.shared.tenant.project}/features/", body, 201)
        self._features.append(answer.json()["id"])

    def delete_feature(self) -> None:
        if not self._features:
            self.create_feature()
        self.call("DELETE", f"projects/{self.shared.tenant.project}/features/{self._features.pop()}/", None, 204)

    def override(self) -> None:
        """400: the segment overrides it already."""
        if not self._features:
            self.create_feature()
        environment = self.random.choice(self.shared.tenant.environments)
        path = f"environments/{environment.key}/features/{self._features[-1]}/create-segment-override/"
        value = {"type": "unicode", "string_value": "v"}
        body = {"feature_segment": {"segment": self.shared.segment}, "enabled": True, "feature_state_value": value}
        self.call("POST", path, body, 201, 400)

    def change_settings(self) -> None:
        body = {"hide_disabled_flags": self.random.random() < 0.5}
        self.call("PATCH", f"projects/{self.shared.tenant.project}/", body, 200)

    # Change requests.

    def commit_at_once(self) -> None:
        place = self.random.choice(list(self.shared.states))
        made = self._propose(place)
        self._commit(made)
        self.shared.states[place] = made["feature_states"][0]["id"]

    def delete_draft(self) -> None:
        made = self._propose(self.random.choice(list(self.shared.states)))
        self.call("DELETE", f"{CHANGE_REQUESTS}{made['id']}/", None, 204)

    def delete_scheduled(self) -> None:
        made = self._propose(self.random.choice(list(self.shared.states)), timedelta(hours=1))
        self._commit(made)
        self.call("DELETE", f"{CHANGE_REQUESTS}{made['id']}/", None, 204)

    def delete_as_it_comes_due(self) -> None:
        """Against the scheduler. 400: that was quicker."""
        place = self.random.choice(list(self.shared.states))
        made = self._propose(place, timedelta(seconds=self.random.random() / 2))
        self._commit(made)
        self.call("DELETE", f"{CHANGE_REQUESTS}{made['id']}/", None, 204, 400)

    def delete_what_is_scheduled(self) -> None:
        """The feature goes as the request comes due: that is applied before, or fails."""
        self.create_feature()
        feature = self._features.pop()
        environment = self.random.choice(self.shared.tenant.environments)
        self._commit(self._propose((environment.key, feature), timedelta(seconds=self.random.random() / 2)))
        self.call("DELETE", f"projects/{self.shared.tenant.project}/features/{feature}/", None, 204)

    def commit_segment(self) -> None:
        """A project's change request, at once."""
        path = f"projects/{self.shared.tenant.project}/change-requests/"
        wanted = {**self._segment(), "version_of": self.shared.segment}
        made = self.call("POST", path, {"title": "segment", "segments": [wanted]}, 201).json()
        self.call("POST", f"{path}{made['id']}/commit/", None, 200)

    def _propose(self, place: tuple[str, int], after: timedelta | None = None) -> Any:
        key, feature = place
        state = {
            "feature": feature,
            "enabled": self.random.random() < 0.5,
            "feature_state_value": text(str(self.random.randrange(1000))),
            "live_from": (datetime.now(UTC) + after).isoformat() if after is not None else None,
        }
        body = {"title": "flag", "feature_states": [state]}
        return self.call("POST", f"environments/{key}/create-change-request/", body, 201).json()

    def _commit(self, made: Any) -> None:
        self.call("POST", f"{CHANGE_REQUESTS}{made['id']}/commit/", None, 200)

    def _segment(self) -> dict[str, Any]:
        return {"name": "shared", "rules": rules(plan=str(self.random.randrange(1000)))}


@dataclass
class Outcome:
    shared: Shared
    watchers: list[Watcher]
    operations: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Figures, for whoever runs the long version."""
        heard = {watcher.environment.name: len(watcher.versions) for watcher in self.watchers}
        return (
            f"{self.operations.total()} operations {dict(self.operations)}\n"
            f"{self.answers.total()} requests {dict(sorted(self.answers.items()))}\n"
            f"versions heard {heard}"
        )


def race(tenant: Tenant, writers: int, operations: int) -> Outcome:
    """Let so many writers do so many operations each, with a subscriber of each environment."""
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
        outcome.unexpected += script.unexpected
    return outcome
