"""The Admin API over HTTP, for tests and benchmarks that talk to a real server.

api = AdminAPI.registered(server.url)
tenant = Tenant.create(api)
flag = tenant.feature("banner")
api.put(flag.path(tenant.environment), enabled=True)
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

import requests

from tests.support.patience import PATIENCE

TIMEOUT = PATIENCE

# Servers close a connection that is idle for five seconds. A request at that moment fails, so a connection that has
# been idle for this time is not used again.
IDLE_SECONDS = 2.0

Body = dict[str, Any]

VERSION_HEADER = "X-Flagsmith-Document-Updated-At"


class AdminAPI:
    """A client of the Admin API with a user's token, on one open connection.

    Paths are relative to ``/api/v1/``, or absolute if they begin with a slash. A status of 400 or more raises an
    ``AssertionError`` with the body.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.timeout = TIMEOUT
        self.session = requests.Session()
        self.session.trust_env = False
        self._answered_at = 0.0
        if token:
            self.session.headers["Authorization"] = f"Token {token}"

    @classmethod
    def registered(cls, url: str) -> Self:
        """Register a new user, and return a client with the user's token."""
        answer = cls(url).post(
            "auth/users/",
            email=f"{secrets.token_hex(8)}@example.com",
            password=secrets.token_urlsafe(16),
            first_name="Test",
            last_name="User",
        )
        return cls(url, answer["key"])

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Make a call, and return the JSON of the response, or None if it has no body."""
        answer = self.response(method, path, body, headers)
        if answer.status_code >= 400:
            raise AssertionError(f"{method} {path} {body}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def response(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Make a call, and return the response with any status."""
        url = self.url + (path if path.startswith("/") else f"/api/v1/{path}")
        if time.monotonic() > self._answered_at + IDLE_SECONDS:
            self.session.close()
        answer = self.session.request(method, url, json=body, headers=headers, timeout=self.timeout)
        self._answered_at = time.monotonic()
        return answer

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def post(self, path: str, **body: Any) -> Any:
        return self.send("POST", path, body)

    def put(self, path: str, **body: Any) -> Any:
        return self.send("PUT", path, body)

    def patch(self, path: str, **body: Any) -> Any:
        return self.send("PATCH", path, body)

    def delete(self, path: str) -> None:
        self.send("DELETE", path)


@dataclass(frozen=True)
class EnvironmentOfTenant:
    """An environment and its two keys."""

    id: int
    name: str
    key: str
    """The client-side key: ``X-Environment-Key``, and the stream's name."""

    server_key: str


@dataclass
class Tenant:
    """An organisation with a project that has real time enabled, and its environments."""

    api: AdminAPI
    organisation: int
    project: int
    environments: list[EnvironmentOfTenant] = field(default_factory=list)

    @classmethod
    def create(cls, api: AdminAPI, environments: tuple[str, ...] = ("Development",)) -> Self:
        organisation = api.post("organisations/", name="Acme")["id"]
        project = api.post("projects/", name="Web", organisation=organisation)["id"]
        api.patch(f"projects/{project}/", enable_realtime_updates=True)
        tenant = cls(api, organisation, project)
        for name in environments:
            tenant.add_environment(name)
        return tenant

    @property
    def environment(self) -> EnvironmentOfTenant:
        """The first one."""
        return self.environments[0]

    def add_environment(self, name: str) -> EnvironmentOfTenant:
        made = self.api.post("environments/", name=name, project=self.project)
        server_key = self.api.post(f"environments/{made['api_key']}/api-keys/", name="tests")["key"]
        self.environments.append(EnvironmentOfTenant(made["id"], name, made["api_key"], server_key))
        return self.environments[-1]

    def add_feature(self, name: str, **fields: Any) -> Body:
        """Create a feature. ``initial_value``, ``default_enabled`` and other fields may be given."""
        feature: Body = self.api.post(f"projects/{self.project}/features/", name=name, **fields)
        return feature

    def add_segment(self, name: str, **traits: str) -> Body:
        """Create a segment of the identities that have all of these traits."""
        segment: Body = self.api.post(f"projects/{self.project}/segments/", name=name, rules=rules(**traits))
        return segment

    def state(self, feature: int, environment: EnvironmentOfTenant | None = None) -> Body:
        """The feature's default in the environment."""
        environment = environment or self.environment
        state: Body = self.api.get(f"environments/{environment.key}/featurestates/?feature={feature}")["results"][0]
        return state

    def change(self, feature: int, environment: EnvironmentOfTenant | None = None, **fields: Any) -> Body:
        """Change the default. ``feature_state_value`` is a scalar."""
        environment = environment or self.environment
        state = self.state(feature, environment)
        changed: Body = self.api.put(f"environments/{environment.key}/featurestates/{state['id']}/", **fields)
        return changed

    def override(self, feature: int, segment: int, **fields: Any) -> Body:
        """Override the feature for a segment, in one step; ``enabled``, ``feature_state_value`` (an object)."""
        made: Body = self.api.post(
            f"environments/{self.environment.key}/features/{feature}/create-segment-override/",
            **{
                "feature_segment": {"segment": segment},
                "enabled": True,
                "feature_state_value": text(""),
                "multivariate_feature_state_values": [],
                **fields,
            },
        )
        return made

    def schedule(self, feature: int, live_from: datetime, value: str) -> Body:
        """Commit a change request that turns the feature on with this value at this time."""
        state = {
            "feature": feature,
            "enabled": True,
            "feature_state_value": text(value),
            "live_from": live_from.isoformat(),
        }
        path = f"environments/{self.environment.key}/create-change-request/"
        made = self.api.post(path, title="Scheduled", feature_states=[state])
        committed: Body = self.api.post(f"features/workflows/change-requests/{made['id']}/commit/")
        return committed

    def flags(self, environment: EnvironmentOfTenant | None = None) -> dict[str, tuple[bool, Any]]:
        """The flags of an environment: feature name to (enabled, value)."""
        answer = self.flags_response(environment)
        return {flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in answer.json()}

    def version(self, environment: EnvironmentOfTenant | None = None) -> Decimal:
        """The environment's version, from the header that SDKs compare with events."""
        return Decimal(self.flags_response(environment).headers[VERSION_HEADER])

    def flags_response(self, environment: EnvironmentOfTenant | None = None) -> requests.Response:
        key = (environment or self.environment).key
        answer = requests.get(f"{self.api.url}/api/v1/flags/", headers={"X-Environment-Key": key}, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer


def text(value: str) -> Body:
    """A text value in the object form."""
    return {"type": "unicode", "string_value": value, "integer_value": None, "boolean_value": None}


def rules(**traits: str) -> list[Body]:
    """A segment's rules: all of these traits have these values."""
    conditions = [{"operator": "EQUAL", "property": name, "value": value} for name, value in traits.items()]
    return [{"type": "ALL", "rules": [{"type": "ALL", "conditions": conditions}], "conditions": []}]
