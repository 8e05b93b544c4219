"""A tenant that the cases act on over HTTP, and ears on its two environments' streams."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django_eventstream.views import Listener, get_listener_manager
from rest_framework.test import APIClient

from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from projects.models import Project
from realtime.publish import channel
from realtime.types import EnvironmentKey
from tests.triggers.change_requests import ChangeRequests
from users.models import FFAdminUser

Body = dict[str, Any] | list[Any] | None

U1 = {"identifier": "u1"}


def rules(value: str = "pro") -> list[dict[str, Any]]:
    """A segment's rules: the trait ``plan`` is this."""
    condition = {"operator": "EQUAL", "property": "plan", "value": value}
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "rules": [], "conditions": [condition]}]}]


@contextmanager
def listening(*keys: str) -> Iterator[Callable[[str], list[str]]]:
    """Listen to these environments as a stream does; gives a function from a key to the events' data so far."""
    listener = Listener()
    listener.channels = {channel(EnvironmentKey(key)) for key in keys}
    # Nothing runs on it: it only takes the calls that would wake a stream.
    listener.loop = asyncio.new_event_loop()
    manager = get_listener_manager()
    manager.add_listener(listener)
    try:
        yield lambda key: [event.data for event in listener.channel_items.get(channel(EnvironmentKey(key)), [])]
    finally:
        manager.remove_listener(listener)
        listener.loop.close()


@dataclass(frozen=True)
class Reading:
    """What an SDK gets of an environment, and the environment's two versions."""

    flags: Any
    document: Any
    """Without its ``updated_at``, which is below."""
    header: str
    document_updated_at: str
    updated_at: Any
    revision: int

    @property
    def content(self) -> tuple[Any, Any]:
        return self.flags, self.document


class World(ChangeRequests):
    """A project with two environments, A and B. Objects are made when first asked for, by calls of the Admin API."""

    def __init__(
        self,
        user: FFAdminUser,
        admin: APIClient,
        organisation: Organisation,
        project: Project,
        a: Environment,
        b: Environment,
    ) -> None:
        self.user = user
        self.admin = admin
        self.organisation = organisation
        self.project = project
        self.a = a
        self.b = b
        self._server_keys = {
            key.environment_id: key.key
            for key in (EnvironmentAPIKey.objects.create(environment=each, name="test") for each in (a, b))
        }

    # Calls.

    def call(self, method: str, path: str, body: Body = None, client: APIClient | None = None, **headers: str) -> Any:
        """Make the call, which must succeed; its answer."""
        answer = self._generic(method, path, body, client or self.admin, headers)
        assert 200 <= answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.content[:500]!r}"
        return json.loads(answer.content) if answer.content else None

    def refused(self, method: str, path: str, body: Body = None) -> None:
        """Make the call, which must be refused."""
        answer = self._generic(method, path, body, self.admin, {})
        assert 400 <= answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.content[:500]!r}"

    def sdk(self, method: str, path: str, body: Body = None) -> Any:
        """An SDK's call to environment A, which must succeed."""
        return self.call(method, path, body, APIClient(), **{"X-Environment-Key": self.a.api_key})

    def _generic(self, method: str, path: str, body: Body, client: APIClient, headers: dict[str, str]) -> Any:
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return client.generic(method, f"/api/v1/{path}", headers=headers, **data)

    def read(self, environment: Environment) -> Reading:
        row = Environment.objects.get(pk=environment.pk)
        client = APIClient()
        flags = client.get("/api/v1/flags/", headers={"X-Environment-Key": row.api_key})
        server_key = self._server_keys[environment.pk]
        document = client.get("/api/v1/environment-document/", headers={"X-Environment-Key": server_key})
        assert (flags.status_code, document.status_code) == (200, 200)
        content = json.loads(document.content)
        return Reading(
            json.loads(flags.content),
            {key: value for key, value in content.items() if key != "updated_at"},
            flags.headers["X-Flagsmith-Document-Updated-At"],
            content["updated_at"],
            row.updated_at,
            row.revision,
        )

    # Paths.

    @property
    def of_project(self) -> str:
        return f"projects/{self.project.pk}/"

    @property
    def of_a(self) -> str:
        return f"environments/{self.a.api_key}/"

    @property
    def features(self) -> str:
        return f"{self.of_project}features/"

    @property
    def segments(self) -> str:
        return f"{self.of_project}segments/"

    @property
    def default(self) -> str:
        """The default of ``feature`` in A, values as scalars."""
        return f"{self.of_a}featurestates/{self.state['id']}/"

    @property
    def options(self) -> str:
        return f"{self.features}{self.split['id']}/mv-options/"

    @property
    def override_state(self) -> str:
        """The state of ``override``, values as objects."""
        return f"features/featurestates/{self.override['id']}/"

    @property
    def identity_path(self) -> str:
        return f"{self.of_a}identities/{self.identity['id']}/"

    @property
    def identity_states(self) -> str:
        return f"{self.identity_path}featurestates/"

    # Objects, as the calls that made them answered.

    @cached_property
    def feature(self) -> Any:
        return self.call("POST", self.features, {"name": "banner", "initial_value": "red", "default_enabled": False})

    @cached_property
    def state(self) -> Any:
        return self.default_of(self.feature)

    def default_of(self, feature: Any) -> Any:
        """The feature's default in A."""
        return self.call("GET", f"{self.of_a}featurestates/?feature={feature['id']}")["results"][0]

    @cached_property
    def split(self) -> Any:
        """A feature with two options, "a" for 30 % and "b" for 20 %."""
        options = [
            {"type": "unicode", "string_value": value, "default_percentage_allocation": share}
            for value, share in (("a", 30), ("b", 20))
        ]
        body = {"name": "split", "type": "MULTIVARIATE", "initial_value": "c", "multivariate_options": options}
        return self.call("POST", self.features, body)

    @cached_property
    def split_state(self) -> Any:
        return self.default_of(self.split)

    @cached_property
    def option(self) -> Any:
        return self.split["multivariate_options"][0]

    def shares(self, first: float, second: float) -> Body:
        """A body that gives the two options these percentages in A."""
        values = self.split_state["multivariate_feature_state_values"]
        pairs = zip(values, (first, second), strict=True)
        return {"multivariate_feature_state_values": [{**v, "percentage_allocation": share} for v, share in pairs]}

    @cached_property
    def segment(self) -> Any:
        return self.call("POST", self.segments, {"name": "professionals", "rules": rules()})

    @cached_property
    def other_segment(self) -> Any:
        return self.call("POST", self.segments, {"name": "beginners", "rules": rules("free")})

    @cached_property
    def override(self) -> Any:
        """``segment`` has ``feature`` on, in A."""
        return self.make_override(self.segment, {"enabled": True})

    @cached_property
    def other_override(self) -> Any:
        return self.make_override(self.other_segment, {"enabled": True})

    def make_override(self, segment: Any, body: dict[str, Any]) -> Any:
        value = {"type": "unicode", "string_value": "red"}
        body = {"feature_segment": {"segment": segment["id"]}, "feature_state_value": value, **body}
        return self.call("POST", f"{self.of_a}features/{self.feature['id']}/create-segment-override/", body)

    def override_body(self, **changes: Any) -> Body:
        """``override`` as it is, but for these changes."""
        value = {"type": "unicode", "string_value": "red"}
        names = {"environment": self.a.pk, "feature": self.feature["id"]}
        return {**names, "enabled": True, "feature_state_value": value, **changes}

    def reorder(self, first: int, second: int) -> Any:
        """Give ``override`` and ``other_override`` these places."""
        pairs = ((self.override, first), (self.other_override, second))
        body = [{"id": override["feature_segment"]["id"], "priority": priority} for override, priority in pairs]
        return self.call("POST", "features/feature-segments/update-priorities/", body)

    @cached_property
    def split_override(self) -> Any:
        """``segment`` has ``split`` on in A, with 30 and 20 % as everybody."""
        shares = [
            {
                "multivariate_feature_option": option["id"],
                "percentage_allocation": option["default_percentage_allocation"],
            }
            for option in self.split["multivariate_options"]
        ]
        body = {
            "feature_segment": {"segment": self.segment["id"]},
            "enabled": True,
            "feature_state_value": {"type": "unicode", "string_value": "c"},
            "multivariate_feature_state_values": shares,
        }
        return self.call("POST", f"{self.of_a}features/{self.split['id']}/create-segment-override/", body)

    def override_shares(self, *shares: float) -> Body:
        """A body that gives the two options these percentages in ``split_override``."""
        pairs = zip(self.split_override["multivariate_feature_state_values"], shares, strict=True)
        values = [{**value, "percentage_allocation": share} for value, share in pairs]
        names = {"environment": self.a.pk, "feature": self.split["id"], "enabled": True}
        return {**names, "multivariate_feature_state_values": values}

    @cached_property
    def feature_segment(self) -> Any:
        """An override of ``feature`` by ``segment`` in A that has no state yet."""
        body = {"feature": self.feature["id"], "segment": self.segment["id"], "environment": self.a.pk}
        return self.call("POST", "features/feature-segments/", body)

    def second_step(self, **state: Any) -> Body:
        """The body that gives ``feature_segment`` its state."""
        names = {"environment": self.a.pk, "feature": self.feature["id"]}
        return {**names, "feature_segment": self.feature_segment["id"], **state}

    @cached_property
    def identity(self) -> Any:
        return self.call("POST", f"{self.of_a}identities/", {"identifier": "u1"})

    @cached_property
    def other_identity(self) -> Any:
        return self.call("POST", f"{self.of_a}identities/", {"identifier": "u2"})

    @cached_property
    def identity_override(self) -> Any:
        body = {"feature": self.feature["id"], "enabled": True, "feature_state_value": "mine"}
        return self.call("POST", self.identity_states, body)

    @cached_property
    def trait(self) -> Any:
        body = {"trait_key": "plan", "value_type": "unicode", "string_value": "pro"}
        return self.call("POST", f"{self.identity_path}traits/", body)

    @cached_property
    def audit_record(self) -> Any:
        """The newest of the project; making ``feature`` is one."""
        assert self.feature
        return self.call("GET", f"{self.of_project}audit/")["results"][0]

    @cached_property
    def tag(self) -> Any:
        return self.call("POST", f"{self.of_project}tags/", {"label": "l", "color": "#ff0000"})

    @cached_property
    def server_key(self) -> Any:
        return self.call("POST", f"{self.of_a}api-keys/", {"name": "k"})

    @cached_property
    def member(self) -> FFAdminUser:
        """A member of the organisation without any permission there."""
        member = FFAdminUser.objects.create_user("member@example.org", "pa55-word-1", first_name="M", last_name="M")
        UserOrganisation.objects.create(user=member, organisation=self.organisation, role=OrganisationRole.USER)
        return member

    @cached_property
    def bare_feature(self) -> Feature:
        """A feature that has no state in any environment yet."""
        return Feature.objects.create(name="bare", project=self.project)

    @cached_property
    def organisation_permission(self) -> Any:
        body = {"user": self.member.pk, "permissions": []}
        return self.call("POST", f"organisations/{self.organisation.pk}/user-permissions/", body)

    @cached_property
    def project_permission(self) -> Any:
        body = {"user": self.member.pk, "permissions": [], "admin": False}
        return self.call("POST", f"{self.of_project}user-permissions/", body)

    @cached_property
    def environment_permission(self) -> Any:
        body = {"user": self.member.pk, "permissions": [], "admin": False}
        return self.call("POST", f"{self.of_a}user-permissions/", body)

    @cached_property
    def master_key(self) -> Any:
        return self.call("POST", f"organisations/{self.organisation.pk}/master-api-keys/", {"name": "ci"})

    @cached_property
    def master(self) -> APIClient:
        """A script's client, with a master API key."""
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Api-Key {self.master_key['key']}")
        return client
