"""The recorded calls of Flagsmith's command line, in their order.

Each call succeeds and its response can be decoded. Each command has its effect, and causes an event if SDKs can see it.
The program is not on the package registry of this project, so its recorded calls are used (``tests.e2e.cli``).
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests

from tests.e2e.cli import COMMANDS, RECORDING, add_placeholders, substitute
from tests.e2e.go_json import Struct, decode
from tests.support import sse
from tests.support.api import TIMEOUT, AdminAPI, Tenant
from tests.support.server import ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# The structs into which flagsmith-cli 2.0.0 decodes responses.
STATE: Struct = {"enabled": bool, "feature_state_value": object}
OPTION: Struct = {
    "id": int,
    "type": str,
    "string_value": (str,),
    "integer_value": (int,),
    "boolean_value": (bool,),
    "default_percentage_allocation": (float,),
    "key": (str,),
    "feature?": int,
}
FEATURE: Struct = {
    "id": int,
    "name": str,
    "type": str,
    "description": (str,),
    "num_segment_overrides": int,
    "num_identity_overrides": (int,),
    "lifecycle_stage?": str,
    "code_references_counts?": [{"count": int}],
    "environment_feature_state": (STATE,),
    "segment_feature_state": (STATE,),
    "initial_value": (str,),
    "default_enabled": bool,
    "is_archived": bool,
    "multivariate_options": [OPTION],
}
VALUE: Struct = {"type": str, "string_value": (str,), "integer_value": (int,), "boolean_value": (bool,)}
ENVIRONMENT_STATE: Struct = {
    "id": int,
    "enabled": bool,
    "feature_segment": (int,),
    "identity": (int,),
    "feature_state_value": VALUE,
    "multivariate_feature_state_values": [{"multivariate_feature_option": int, "percentage_allocation": float}],
}
FLAG_STATE: Struct = {
    "enabled": bool,
    "value": ({"type": str, "value": str},),
    "variants": [{"id": int, "weight": float}],
}
FLAG: Struct = {
    "environment_default": FLAG_STATE,
    "segment_overrides": [{"segment": {"id": int}, "priority": int, **FLAG_STATE}],
}
CONDITION: Struct = {"property": (str,), "operator": str, "value": object}
RULE: Struct = {"type": str, "conditions": [CONDITION], "rules?": [{"type": str, "conditions": [CONDITION]}]}
SEGMENT: Struct = {
    "id": int,
    "name": str,
    "description": (str,),
    "project": int,
    "feature": (int,),
    "rules": [RULE],
}
PROJECT: Struct = {"id": int, "name": str, "organisation": int, "use_edge_identities": bool}
ENVIRONMENT: Struct = {
    "id": int,
    "name": str,
    "api_key": str,
    "project": int,
    "description?": (str,),
    "use_v2_feature_versioning?": bool,
}
SHAPES: dict[str, Struct] = {
    r"organisations/": {"id": int, "name": str},
    r"projects/(\d+/)?": PROJECT,
    r"environments/([^/]+/)?(clone/)?": ENVIRONMENT,
    r"environments/[^/]+/api-keys/": {
        "id": int,
        "key": str,
        "name": str,
        "active": bool,
        "created_at": str,
        "expires_at": (str,),
    },
    r"projects/\d+/features/(\d+/)?": FEATURE,
    r"projects/\d+/features/\d+/mv-options/(\d+/)?": OPTION,
    r"projects/\d+/segments/(\d+/)?": SEGMENT,
    r"features/feature-segments/": {"id": int, "segment": int, "segment_name": str, "priority": int},
    r"features/featurestates/": ENVIRONMENT_STATE,
    r"environments/[^/]+/featurestates/": {"identity": {"identifier": str}, **STATE},
    r"environments/[^/]+/identities/": {"id": int, "identifier": str},
    r"environments/[^/]+/identities/\d+/featurestates/(\d+/)?": {"id": int, "feature": int, **STATE},
    r"environments/[^/]+/features/\d+/(segment-overrides/\d+/)?": FLAG,
}
# Responses that it prints without decoding, or leaves to an SDK.
NOT_DECODED = re.compile(r"environments/[^/]+/document/|flags/|identities/")

# The command line requires this server version to change flags.
MIN_SERVER_VERSION = (2, 263, 0)

Overrides = list[tuple[str, int, bool, Any]]


class Replay:
    """Makes the recorded calls with a master API key for a new tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.placeholders: dict[str, Any] = {}
        for path in (
            f"organisations/{tenant.organisation}/",
            f"projects/{tenant.project}/",
            f"environments/{tenant.environment.key}/",
        ):
            add_placeholders(self.placeholders, tenant.api.get(path))
        key = tenant.api.post(f"organisations/{tenant.organisation}/master-api-keys/", name="cli")["key"]
        self.session = requests.Session()
        self.session.headers.update(
            {"Authorization": f"Api-Key {key}", "User-Agent": "flagsmith-cli/2.0.0", "Accept-Encoding": "gzip"}
        )

    def make(self, call: dict[str, Any]) -> None:
        path, body = substitute(call["path"], self.placeholders), substitute(call.get("body"), self.placeholders)
        is_sdk_call = path in ("/api/v1/flags/", "/api/v1/identities/")
        headers = {"X-Environment-Key": self.tenant.environment.key, "Authorization": None} if is_sdk_call else None
        url = f"{self.tenant.api.url}{path}"
        response = self.session.request(call["method"], url, json=body, headers=headers, timeout=TIMEOUT)
        assert response.status_code == call["status"], f"{call}: {response.status_code} {response.text}"
        if response.content:
            check_decodable(path, response.json())
            add_placeholders(self.placeholders, response.json())

    def default(self, feature: str) -> Any:
        """Enabled and value of the environment default, as an SDK gets it."""
        return self.tenant.flags()[feature]

    def overrides(self, feature: str) -> Overrides:
        """The segment overrides by priority: name, priority, enabled, value."""
        query = f"environment={self.tenant.environment.id}&feature={self.placeholders[feature]}"
        feature_segments = self.tenant.api.get(f"features/feature-segments/?{query}")["results"]
        states = self.tenant.api.get(f"features/featurestates/?{query}")["results"]
        by_feature_segment = {state["feature_segment"]: state for state in states}
        return [
            (each["segment_name"], each["priority"], state["enabled"], state_value(state))
            for each in feature_segments
            for state in [by_feature_segment[each["id"]]]
        ]

    def weights(self, feature: str) -> list[float]:
        state = self.tenant.state(self.placeholders[feature])
        return [share["percentage_allocation"] for share in state["multivariate_feature_state_values"]]

    def of_identity(self, identifier: str) -> Any:
        headers = {"X-Environment-Key": self.tenant.environment.key}
        url = f"{self.tenant.api.url}/api/v1/identities/?identifier={identifier}"
        flags = requests.get(url, headers=headers, timeout=TIMEOUT).json()["flags"]
        return next((f["enabled"], f["feature_state_value"]) for f in flags if f["feature"]["name"] == "banner")

    def listed(self, path: str) -> list[str]:
        """The names of the objects in a list of the API."""
        response = self.tenant.api.get(path.format(project=self.tenant.project))
        return [each["name"] for each in (response if isinstance(response, list) else response["results"])]


def state_value(state: dict[str, Any]) -> Any:
    value = state["feature_state_value"]
    return value[{"int": "integer_value", "bool": "boolean_value"}.get(value["type"], "string_value")]


def check_decodable(path: str, response: Any) -> None:
    """Decode a response as the command line does. Lists are bare or paginated."""
    path = re.sub(r"^/api/\w+/|\?.*$", "", path)
    if NOT_DECODED.fullmatch(path):
        return
    (shape,) = (shape for pattern, shape in SHAPES.items() if re.fullmatch(pattern, path))
    if isinstance(response, dict) and "results" in response:
        decode({"next": (str,), "results": [shape]}, response, path)
    else:
        decode([shape] if isinstance(response, list) else shape, response, path)


SEGMENTS, FEATURES = "projects/{project}/segments/", "projects/{project}/features/"
ENVIRONMENTS, PROJECTS = "environments/?project={project}", "projects/"

# The effect of each command that changes something: how to read it, the expected value, and whether there is an event.
EFFECTS: dict[str, tuple[Callable[[Replay], Any], Any, bool]] = {
    "feature create banner": (lambda r: r.default("banner"), (False, "hello"), True),
    "flag enable banner": (lambda r: r.default("banner"), (True, "hello"), True),
    "flag update banner --value 42": (lambda r: r.default("banner"), (True, 42), True),
    "flag update banner --value x --disable": (lambda r: r.default("banner"), (False, "x"), True),
    "segment create pros": (lambda r: r.listed(SEGMENTS), ["pros"], True),
    "segment create others": (lambda r: r.listed(SEGMENTS), ["pros", "others"], True),
    "flag enable banner --segment pros": (lambda r: r.overrides("banner"), [("pros", 0, True, "x")], True),
    "flag update banner --segment others --value o": (
        lambda r: r.overrides("banner"),
        [("pros", 0, True, "x"), ("others", 1, False, "o")],
        True,
    ),
    "flag reorder banner others pros": (
        lambda r: r.overrides("banner"),
        [("others", 0, False, "o"), ("pros", 1, True, "x")],
        True,
    ),
    "flag update banner --segment pros --priority 7": (
        lambda r: r.overrides("banner"),
        [("others", 0, False, "o"), ("pros", 7, True, "x")],
        True,
    ),
    "flag delete banner --segment others": (lambda r: r.overrides("banner"), [("pros", 6, True, "x")], True),
    "segment update pros": (
        lambda r: r.tenant.api.get(f"projects/{r.tenant.project}/segments/{r.placeholders['pros']}/")["rules"][0][
            "rules"
        ][0]["conditions"][0]["operator"],
        "IN",
        True,
    ),
    # Identity overrides cause no event.
    "flag update banner --value mine --identifier ada": (lambda r: r.of_identity("ada"), (False, "mine"), False),
    "flag enable banner --identifier ada": (lambda r: r.of_identity("ada"), (True, "mine"), False),
    "flag delete banner --identifier ada": (lambda r: r.of_identity("ada"), (False, "x"), False),
    "feature create split": (lambda r: r.weights("split"), [30, 20], True),
    "feature variant add split": (lambda r: r.weights("split"), [30, 20, 10], True),
    "flag update split --weight kz=15": (lambda r: r.weights("split"), [30, 20, 15], True),
    "flag update split --segment pros --weight kz=50": (
        lambda r: r.overrides("split"),
        [("pros", 0, False, "c")],
        True,
    ),
    "feature variant update split kz": (lambda r: r.weights("split"), [30, 20, 15], True),
    "feature variant delete split kz": (lambda r: r.weights("split"), [30, 20], True),
    "feature update banner --archive": (lambda r: r.listed(f"{FEATURES}?is_archived=true"), ["banner"], False),
    "environment create Staging": (lambda r: r.listed(ENVIRONMENTS), ["Development", "Staging"], False),
    "environment update Staging": (
        lambda r: r.tenant.api.get(f"environments/{r.placeholders['Staging']}/")["description"],
        "s",
        False,
    ),
    "environment clone Development Copy": (
        lambda r: r.listed(ENVIRONMENTS),
        ["Development", "Staging", "Copy"],
        False,
    ),
    "environment key create Staging": (
        lambda r: [key["name"] for key in r.tenant.api.get(f"environments/{r.placeholders['Staging']}/api-keys/")],
        ["ci"],
        False,
    ),
    "environment delete Copy": (lambda r: r.listed(ENVIRONMENTS), ["Development", "Staging"], False),
    "project create Second": (lambda r: r.listed(PROJECTS), ["Web", "Second"], False),
    "project update Second": (lambda r: r.listed(PROJECTS), ["Web", "Third"], False),
    "project delete Third": (lambda r: r.listed(PROJECTS), ["Web"], False),
    "segment delete pros": (lambda r: r.overrides("banner"), [], True),
    "feature delete banner": (lambda r: list(r.tenant.flags()), ["split"], True),
}


@pytest.fixture
def replay(start_server: Callable[..., ServerProcess]) -> Replay:
    return Replay(Tenant.create(AdminAPI.registered(start_server().url)))


def test_cli__every_command__succeeds_decodes_and_has_its_effect(replay: Replay) -> None:
    lines = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    assert [tuple(line["command"]) for line in lines] == list(COMMANDS), (
        "COMMANDS have changed: run tests.e2e.cli_recording"
    )
    release = requests.get(f"{replay.tenant.api.url}/version/", timeout=TIMEOUT).json()["image_tag"]
    assert tuple(map(int, release.split("."))) >= MIN_SERVER_VERSION
    effects = dict(EFFECTS)
    port = int(replay.tenant.api.url.rpartition(":")[2])
    with sse.connect(port, replay.tenant.environment.key) as stream:
        version = stream.next_event().updated_at
        for line in lines:
            command = " ".join(line["command"])
            for call in line["calls"]:
                replay.make(call)
            named = [each for each in effects if command == each or command.startswith(f"{each} --")]
            effect, expected, causes_event = effects.pop(max(named, key=len)) if named else (None, None, False)
            if effect is not None:
                assert effect(replay) == expected, command
            version = check_event(stream, version, replay.tenant.version(), causes_event, command)
    assert effects == {}


def check_event(stream: sse.Stream, before: Decimal, after: Decimal, causes_event: bool, command: str) -> Decimal:
    """Check that the version has risen, and wait for its event, if one is expected. Returns the version ``after``."""
    assert (after > before) == causes_event, command
    if causes_event:
        assert stream.event_after(before).updated_at == after, command
    return after
