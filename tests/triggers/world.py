"""A tenant that calls of the Admin API act on. How a call is made is for those who derive from it."""

import json
from abc import abstractmethod
from functools import cached_property
from typing import Any

from tests.triggers.change_requests import ChangeRequests
from tests.triggers.people import People

Body = dict[str, Any] | list[Any] | None

U1 = {"identifier": "u1"}


def rules(value: str = "pro") -> list[dict[str, Any]]:
    """A segment's rules: the trait ``plan`` is this."""
    condition = {"operator": "EQUAL", "property": "plan", "value": value}
    return [{"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "rules": [], "conditions": [condition]}]}]


class World(People, ChangeRequests):
    """A project with two environments, A and B. Objects are made when first asked for, by calls of the Admin API.

    ``user``, ``organisation`` and ``project`` have a ``pk``; environments also have a ``name`` and an ``api_key``.
    """

    def __init__(self, user: Any, admin: Any, organisation: Any, project: Any, a: Any, b: Any) -> None:
        self.user = user
        self.admin = admin
        """The client that calls are made with, where no other is named; ``user`` is signed in to it."""
        self.organisation = organisation
        self.project = project
        self.a = a
        self.b = b

    # Calls.

    @abstractmethod
    def answer(self, method: str, path: str, body: Body, client: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        """Make the call, of a path below ``/api/v1/`` or a whole one: the answer's status and body."""

    def call(self, method: str, path: str, body: Body = None, client: Any = None, **headers: str) -> Any:
        """Make the call, which must succeed; its answer."""
        status, content = self.answer(method, path, body, client or self.admin, headers)
        assert 200 <= status < 300, f"{method} {path}: {status} {content[:500]!r}"
        return json.loads(content) if content else None

    def refused(self, method: str, path: str, body: Body = None) -> None:
        """Make the call, which must be refused."""
        status, content = self.answer(method, path, body, self.admin, {})
        assert 400 <= status < 500, f"{method} {path}: {status} {content[:500]!r}"

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
    def whole(self) -> str:
        """``feature`` in A with all its overrides, as the command line writes it."""
        return f"/api/__future__/{self.of_a}features/{self.feature['id']}/"

    def whole_override(self, **changes: Any) -> dict[str, Any]:
        """``override`` in the form of ``whole``."""
        return {"segment": {"id": self.segment["id"]}, **changes}

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
    def webhook(self) -> Any:
        return self.call("POST", f"{self.of_a}webhooks/", {"url": "https://hooks.example.com/"})

    @cached_property
    def organisation_webhook(self) -> Any:
        path = f"organisations/{self.organisation.pk}/webhooks/"
        return self.call("POST", path, {"url": "https://hooks.example.com/"})

    @cached_property
    def master_key(self) -> Any:
        return self.call("POST", f"organisations/{self.organisation.pk}/master-api-keys/", {"name": "ci"})
