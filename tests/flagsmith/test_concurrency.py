"""Concurrent writers in one environment: versions never fall, and header, document and last event agree in the end."""

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from tests.e2e.changes import TRAITS
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.reading import Read
from tests.flagsmith.test_signals import MICROSECOND, settle
from tests.support import sse
from tests.support.api import AdminAPI, Tenant, rules, text

# FLAGSMITH_CHANGES=500 is the run whose figures are in docs/plugging-in.md.
CHANGES = int(os.environ.get("FLAGSMITH_CHANGES", "60"))

WRITERS = 4

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(3_600)]


class Writer:
    """Makes random changes in a tenant, with features and segments of its own."""

    def __init__(self, app: FlagsmithWithApp, tenant: Tenant, number: int) -> None:
        api = AdminAPI(app.url, str(tenant.api.session.headers["Authorization"]).removeprefix("Token "))
        api.session.headers["Connection"] = "close"
        self.tenant = Tenant(api, tenant.organisation, tenant.project, tenant.environments)
        self.number = number
        self.random = random.Random(number)
        self.feature = self.tenant.add_feature(f"feature{number}", initial_value="old")["id"]
        self.segment = self.tenant.add_segment(f"segment{number}", **TRAITS)["id"]
        option = {"type": "unicode", "string_value": "first", "default_percentage_allocation": 50}
        self.multivariate = self.tenant.add_feature(
            f"multivariate{number}", type="MULTIVARIATE", initial_value="old", multivariate_options=[option]
        )["id"]
        self.override: dict[str, Any] | None = None
        self.other: int | None = None

    def change(self) -> None:
        changes: list[Callable[[], object]] = [
            partial(self.tenant.change, self.feature, enabled=self.random.random() < 0.5),
            partial(self.tenant.change, self.feature, feature_state_value=f"value {self.random.random()}"),
            partial(self.tenant.change, self.feature, enabled=True, feature_state_value=f"{self.random.random()}"),
            self.change_override,
            self.change_segment,
            self.change_shares,
            self.change_features,
            self.change_environment,
            self.change_project,
        ]
        self.random.choice(changes)()

    def change_override(self) -> None:
        if self.override is None:
            self.override = self.tenant.override(self.feature, self.segment, feature_state_value=text("override"))
        else:
            self.tenant.api.delete(f"features/feature-segments/{self.override['feature_segment']['id']}/")
            self.override = None

    def change_segment(self) -> None:
        path = f"projects/{self.tenant.project}/segments/{self.segment}/"
        self.tenant.api.put(path, name=f"segment{self.number}", rules=rules(plan=str(self.random.random())))

    def change_shares(self) -> None:
        (share,) = self.tenant.state(self.multivariate)["multivariate_feature_state_values"]
        changed = [share | {"percentage_allocation": self.random.randrange(100)}]
        self.tenant.change(self.multivariate, multivariate_feature_state_values=changed)

    def change_features(self) -> None:
        if self.other is None:
            self.other = self.tenant.add_feature(f"other{self.number}")["id"]
        else:
            self.tenant.api.delete(f"projects/{self.tenant.project}/features/{self.other}/")
            self.other = None

    def change_environment(self) -> None:
        path = f"environments/{self.tenant.environment.key}/"
        kept = {name: value for name, value in self.tenant.api.get(path).items() if name in ("name", "project")}
        self.tenant.api.put(path, **kept, allow_client_traits=self.random.random() < 0.5)

    def change_project(self) -> None:
        path = f"projects/{self.tenant.project}/"
        self.tenant.api.patch(path, hide_disabled_flags=self.random.random() < 0.5)


class Versions(threading.Thread):
    """The versions of a stream's events, in the order of arrival."""

    def __init__(self, port: int, key: str) -> None:
        super().__init__(daemon=True)
        self.found: list[Decimal] = []
        self._stream = sse.connect(port, key)

    def run(self) -> None:
        while True:
            self.found.append(self._stream.next_event(timeout=3_600).updated_at)


def test_app__concurrent_changes_of_all_kinds__versions_rise_and_agree(app: FlagsmithWithApp) -> None:
    tenant = app.tenant(AdminAPI.registered(app.url))
    writers = [Writer(app, tenant, number) for number in range(WRITERS)]
    app.analyze()
    versions = Versions(app.stream_port, tenant.environment.key)
    versions.start()
    with ThreadPoolExecutor(WRITERS) as threads:

        def write(writer: Writer) -> None:
            for _ in range(CHANGES // WRITERS):
                writer.change()

        list(threads.map(write, writers))
    settle(app)
    read = Read.of(tenant)
    print(app.tasks.value, {"changes": CHANGES, "events": len(set(versions.found))})
    assert versions.found == sorted(versions.found)
    assert abs(read.header - versions.found[-1]) <= MICROSECOND
    assert abs(read.version - versions.found[-1]) <= MICROSECOND
