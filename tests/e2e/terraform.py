"""The resources of Flagsmith's Terraform provider, and the API calls that its Go client makes for them.

Structs and calls are those of flagsmith-go-api-client as of 2026-04.
"""

from dataclasses import dataclass
from typing import Any

import requests

from tests.e2e.go_json import Struct, decode
from tests.support.api import TIMEOUT, Tenant

Fields = dict[str, Any]

VALUE: Struct = {"type": str, "string_value": (str,), "integer_value": (int,), "boolean_value": (bool,)}
CONDITION: Struct = {"operator": str, "property": str, "value": str}
NESTED_RULE: Struct = {"type": str, "conditions": [CONDITION]}
PROJECT: Struct = {
    "id": int,
    "uuid": str,
    "name": str,
    "organisation": int,
    "hide_disabled_flags": bool,
    "prevent_flag_defaults": bool,
    "only_allow_lower_case_feature_names": bool,
    "feature_name_regex": (str,),
    "stale_flags_limit_days": (int,),
    "enable_realtime_updates": bool,
    "enforce_feature_owners": bool,
}
ENVIRONMENT: Struct = {
    "id": int,
    "uuid": str,
    "name": str,
    "api_key": str,
    "description": (str,),
    "project": int,
    "allow_client_traits": bool,
    "banner_text": (str,),
    "banner_colour": (str,),
    "hide_disabled_flags": (bool,),
    "hide_sensitive_data": bool,
    "use_identity_composite_key_for_hashing": bool,
    "minimum_change_request_approvals": (int,),
}
FEATURE: Struct = {
    "name": str,
    "uuid": str,
    "id": (int,),
    "type": (str,),
    "description": (str,),
    "initial_value": (str,),
    "default_enabled": bool,
    "is_archived": bool,
    "owners": [{"id": int}],
    "group_owners": [{"id": int}],
    "project": (int,),
    "tags": [int],
}
OPTION: Struct = {
    "id": int,
    "type": str,
    "uuid": str,
    "feature": (int,),
    "integer_value": (int,),
    "string_value": (str,),
    "boolean_value": (bool,),
    "default_percentage_allocation": float,
}
SEGMENT: Struct = {
    "id": (int,),
    "uuid": str,
    "name": str,
    "description": (str,),
    "project": (int,),
    "feature": (int,),
    "rules": [{"type": str, "rules": [NESTED_RULE], "conditions": [CONDITION]}],
}
FEATURE_SEGMENT: Struct = {"id": (int,), "segment": (int,), "environment": int, "priority": (int,)}
STATE: Struct = {
    "id": int,
    "uuid": str,
    "enabled": bool,
    "feature": int,
    "environment": (int,),
    "feature_segment": (int,),
    "feature_state_value": object,
}
TAG: Struct = {"id": (int,), "uuid": str, "label": str, "description": (str,), "color": str, "project": (int,)}
SERVER_KEY: Struct = {
    "id": int,
    "active": bool,
    "name": str,
    "key": str,
    "expires_at": (str,),
    "created_at": (str,),
}


class NotFoundError(Exception):
    """The API has responded with 404."""


class Client:
    """Makes calls with a master API key, like the provider. Placeholders in paths are ids and keys of the tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.session = requests.Session()
        key = tenant.api.post(f"organisations/{tenant.organisation}/master-api-keys/", name="terraform")["key"]
        self.session.headers.update({"Authorization": f"Api-Key {key}", "Accept": "application/json"})
        self.feature = tenant.add_feature("flag", initial_value="v")
        self.path_arguments = {
            "organisation": tenant.organisation,
            "project": tenant.project,
            "environment": tenant.environment.id,
            "key": tenant.environment.key,
            "feature": self.feature["id"],
            "segment": tenant.add_segment("pros", plan="pro")["id"],
        }

    def call(self, kind: Any, method: str, path: str, body: Any = None, **arguments: Any) -> Any:
        """Make the call and decode the response."""
        path = path.format(**self.path_arguments | arguments)
        response = self.session.request(method, f"{self.tenant.api.url}/api/v1/{path}", json=body, timeout=TIMEOUT)
        if response.status_code == 404:
            raise NotFoundError(path)
        assert 200 <= response.status_code < 300, f"{method} {path} {body}: {response.status_code} {response.text}"
        return decode(kind, response.json(), path) if kind is not None else None


@dataclass(frozen=True)
class Resource:
    """A kind of resource with the usual calls. Subclasses override those that differ."""

    kind: Struct
    path: str
    """Path for POST. PUT and DELETE are at ``path`` + ``key``."""
    by_uuid: str
    """Path for GET."""
    parent: str
    """The field of the body that refers to the parent."""
    created: Fields
    updated: Fields
    """The fields after the first apply, and after the second."""
    omitempty: tuple[str, ...] = ()
    """Fields that Go omits if they are zero."""
    key: str = "id"
    reads_project: bool = False
    """Whether a read also requests the project."""
    causes_event: bool = True
    """Whether an update causes an event."""

    def body(self, client: Client, fields: Fields) -> Fields:
        fields = {self.parent: client.path_arguments[self.parent], **fields}
        return {name: value for name, value in fields.items() if value or name not in self.omitempty}

    def create(self, client: Client, wanted: Fields) -> Fields:
        return client.call(self.kind, "POST", self.path, self.body(client, wanted))

    def read(self, client: Client, state: Fields) -> Fields:
        found = client.call(self.kind, "GET", self.by_uuid, **state)
        if self.reads_project:
            client.call(PROJECT, "GET", "projects/{project}/")
        return found

    def update(self, client: Client, state: Fields, wanted: Fields) -> Fields:
        body = self.body(client, {name: state[name] for name in ("id", "uuid", self.key) if name in state} | wanted)
        return client.call(self.kind, "PUT", f"{self.path}{state[self.key]}/", body)

    def delete(self, client: Client, state: Fields) -> None:
        client.call(None, "DELETE", f"{self.path}{state[self.key]}/")


@dataclass(frozen=True)
class ServerKey(Resource):
    """A server-side key. The API lists keys but has no endpoint to read one."""

    def read(self, client: Client, state: Fields) -> Fields:
        found = [each for each in client.call([self.kind], "GET", self.path) if each["id"] == state["id"]]
        if not found:
            raise NotFoundError(self.path)
        return found[0]


@dataclass(frozen=True)
class State(Resource):
    """The environment default of a feature. It exists already, so that "create" finds and updates it."""

    def create(self, client: Client, wanted: Fields) -> Fields:
        (found,) = client.call({"results": [STATE]}, "GET", "environments/{key}/featurestates/?feature={feature}")[
            "results"
        ]
        return self.update(client, found, wanted)

    def read(self, client: Client, state: Fields) -> Fields:
        found = client.call(self.kind, "GET", self.by_uuid, **state)
        if found["feature_segment"] is not None:
            feature_segment = client.call(
                FEATURE_SEGMENT, "GET", "features/feature-segments/{feature_segment}/", **found
            )
            found |= {"segment_priority": feature_segment["priority"], "segment": feature_segment["segment"]}
        return found

    def update(self, client: Client, state: Fields, wanted: Fields) -> Fields:
        unchanged = {name: state[name] for name in ("id", "uuid", "feature", "environment", "feature_segment")}
        unchanged = {name: value for name, value in unchanged.items() if value is not None}
        fields = {name: value for name, value in wanted.items() if name != "segment_priority"}
        changed = client.call(self.kind, "PUT", f"{self.path}{state['id']}/", unchanged | fields)
        if "segment_priority" in wanted and wanted["segment_priority"] != state["segment_priority"]:
            body = [{"priority": wanted["segment_priority"], "id": state["feature_segment"]}]
            client.call(None, "POST", "features/feature-segments/update-priorities/", body)
        return changed

    def delete(self, client: Client, state: Fields) -> None:
        """The provider makes no call: the environment default stays."""


@dataclass(frozen=True)
class Override(State):
    """A segment override: first its feature segment, then its state."""

    def create(self, client: Client, wanted: Fields) -> Fields:
        environment = client.call(ENVIRONMENT, "GET", "environments/{key}/")["id"]
        feature_segment = {
            "feature": client.path_arguments["feature"],
            "segment": client.path_arguments["segment"],
            "environment": environment,
            "priority": wanted["segment_priority"],
        }
        created = client.call(FEATURE_SEGMENT, "POST", "features/feature-segments/", feature_segment)
        fields = {name: value for name, value in wanted.items() if name != "segment_priority"}
        body = {
            "feature": feature_segment["feature"],
            "environment": environment,
            "feature_segment": created["id"],
            **fields,
        }
        return client.call(self.kind, "POST", self.path, body)

    def delete(self, client: Client, state: Fields) -> None:
        client.call(None, "DELETE", "features/feature-segments/{feature_segment}/", **state)


def value(**columns: Any) -> Fields:
    return {"string_value": None, "integer_value": None, "boolean_value": None, **columns}


def rules(operator: str, content: str) -> list[Fields]:
    condition = {"operator": operator, "property": "plan", "value": content}
    return [{"type": "ALL", "rules": [{"type": "ANY", "conditions": [condition]}]}]


STATES = "features/featurestates/"

RESOURCES = {
    "project": Resource(
        PROJECT,
        "projects/",
        "projects/get-by-uuid/{uuid}/",
        "organisation",
        {"name": "P", "enable_realtime_updates": True, "stale_flags_limit_days": 30},
        {"name": "Q", "enable_realtime_updates": True, "prevent_flag_defaults": True, "feature_name_regex": "[a-z]+"},
        ("hide_disabled_flags", "prevent_flag_defaults", "feature_name_regex", "stale_flags_limit_days"),
        causes_event=False,
    ),
    "environment": Resource(
        ENVIRONMENT,
        "environments/",
        "environments/get-by-uuid/{uuid}/",
        "project",
        {"name": "E", "description": "", "allow_client_traits": True, "banner_colour": "#ff0000"},
        {"name": "F", "description": "d", "hide_sensitive_data": True, "minimum_change_request_approvals": 2},
        ("allow_client_traits", "banner_text", "banner_colour", "hide_sensitive_data"),
        key="api_key",
        causes_event=False,
    ),
    "server key": ServerKey(
        SERVER_KEY,
        "environments/{key}/api-keys/",
        "",
        "environment",
        {"name": "ci", "active": True},
        {"name": "cd", "active": False},
        causes_event=False,
    ),
    "tag": Resource(
        TAG,
        "projects/{project}/tags/",
        "projects/{project}/tags/get-by-uuid/{uuid}/",
        "project",
        {"label": "red", "color": "#ff0000", "description": None},
        {"label": "blue", "color": "#0000ff", "description": "d"},
        causes_event=False,
    ),
    "feature": Resource(
        FEATURE,
        "projects/{project}/features/",
        "features/get-by-uuid/{uuid}/",
        "project",
        {"name": "f", "type": "STANDARD", "description": "", "initial_value": "v", "default_enabled": True, "tags": []},
        {
            "name": "f",
            "type": "STANDARD",
            "description": "d",
            "initial_value": "v",
            "default_enabled": True,
            "tags": [],
        },
        ("initial_value", "default_enabled", "is_archived"),
        reads_project=True,
    ),
    "multivariate option": Resource(
        OPTION,
        "projects/{project}/features/{feature}/mv-options/",
        "multivariate/options/get-by-uuid/{uuid}/",
        "feature",
        {"type": "unicode", "string_value": "a", "default_percentage_allocation": 30.5},
        {"type": "int", "integer_value": 7, "default_percentage_allocation": 0},
        reads_project=True,
    ),
    "segment": Resource(
        SEGMENT,
        "projects/{project}/segments/",
        "segments/get-by-uuid/{uuid}/",
        "project",
        {"name": "s", "rules": rules("EQUAL", "pro")},
        {"name": "t", "description": "d", "rules": rules("IN", "pro,max")},
        reads_project=True,
    ),
    "state": State(
        STATE,
        STATES,
        f"{STATES}get-by-uuid/{{uuid}}/",
        "environment",
        created={"enabled": True, "feature_state_value": value(type="unicode", string_value="x")},
        updated={"enabled": False, "feature_state_value": value(type="int", integer_value=42)},
    ),
    "override": Override(
        STATE,
        STATES,
        f"{STATES}get-by-uuid/{{uuid}}/",
        "environment",
        created={
            "enabled": True,
            "feature_state_value": value(type="bool", boolean_value=True),
            "segment_priority": 0,
        },
        updated={
            "enabled": False,
            "feature_state_value": value(type="unicode", string_value="y"),
            "segment_priority": 3,
        },
    ),
}
