"""The calls of Flagsmith's command line, in its order.

Each succeeds, can be decoded, and does what was asked for; streams hear of it if an SDK should.

The program itself is not on the package registry that this project installs from, so its recorded calls stand for it
(``tests.e2e.cli``).
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests

from tests.e2e.cli import COMMANDS, FILE, filled, learn
from tests.e2e.golang import Struct, decode
from tests.support import sse
from tests.support.api import TIMEOUT, AdminAPI, Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.e2e

# What flagsmith-cli 2.0.0 decodes of each answer.
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
# Of these it only passes on what it gets, or leaves the reading to an SDK.
UNREAD = re.compile(r"environments/[^/]+/document/|flags/|identities/")

# What the command line names where it thinks that a server cannot change flags.
FIRST_RELEASE = (2, 263, 0)

Overrides = list[tuple[str, int, bool, Any]]


class Replay:
    """The recorded calls, made by a master API key to a tenant of our own."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.names: dict[str, Any] = {}
        for path in (
            f"organisations/{tenant.organisation}/",
            f"projects/{tenant.project}/",
            f"environments/{tenant.environment.key}/",
        ):
            learn(self.names, tenant.api.get(path))
        key = tenant.api.post(f"organisations/{tenant.organisation}/master-api-keys/", name="cli")["key"]
        self.session = requests.Session()
        self.session.headers.update(
            {"Authorization": f"Api-Key {key}", "User-Agent": "flagsmith-cli/2.0.0", "Accept-Encoding": "gzip"}
        )

    def make(self, call: dict[str, Any]) -> None:
        path, body = filled(call["path"], self.names), filled(call.get("body"), self.names)
        sdk = path in ("/api/v1/flags/", "/api/v1/identities/")
        headers = {"X-Environment-Key": self.tenant.environment.key, "Authorization": None} if sdk else None
        url = f"{self.tenant.api.url}{path}"
        answer = self.session.request(call["method"], url, json=body, headers=headers, timeout=TIMEOUT)
        assert answer.status_code == call["status"], f"{call} was answered {answer.status_code}: {answer.text}"
        if answer.content:
            read(path, answer.json())
            learn(self.names, answer.json())

    def default(self, feature: str) -> Any:
        """What an SDK gets for everybody."""
        return self.tenant.flags()[feature]

    def overrides(self, feature: str) -> Overrides:
        """Of the segments, the strongest first: name, priority, enabled, value."""
        at = f"environment={self.tenant.environment.id}&feature={self.names[feature]}"
        places = self.tenant.api.get(f"features/feature-segments/?{at}")["results"]
        states = self.tenant.api.get(f"features/featurestates/?{at}")["results"]
        found = {state["feature_segment"]: state for state in states}
        return [
            (place["segment_name"], place["priority"], found[place["id"]]["enabled"], plain(found[place["id"]]))
            for place in places
        ]

    def weights(self, feature: str) -> list[float]:
        state = self.tenant.state(self.names[feature])
        return [share["percentage_allocation"] for share in state["multivariate_feature_state_values"]]

    def of_identity(self, identifier: str) -> Any:
        headers = {"X-Environment-Key": self.tenant.environment.key}
        url = f"{self.tenant.api.url}/api/v1/identities/?identifier={identifier}"
        flags = requests.get(url, headers=headers, timeout=TIMEOUT).json()["flags"]
        return next((f["enabled"], f["feature_state_value"]) for f in flags if f["feature"]["name"] == "banner")

    def listed(self, path: str) -> list[str]:
        """The names of the objects of a list of the project."""
        answer = self.tenant.api.get(path.format(project=self.tenant.project))
        return [each["name"] for each in (answer if isinstance(answer, list) else answer["results"])]


def plain(state: dict[str, Any]) -> Any:
    value = state["feature_state_value"]
    return value[{"int": "integer_value", "bool": "boolean_value"}.get(value["type"], "string_value")]


def read(path: str, answer: Any) -> None:
    """Decode an answer as the command line does: lists are bare, or in an envelope."""
    path = re.sub(r"^/api/\w+/|\?.*$", "", path)
    if UNREAD.fullmatch(path):
        return
    (shape,) = (shape for pattern, shape in SHAPES.items() if re.fullmatch(pattern, path))
    if isinstance(answer, dict) and "results" in answer:
        decode({"next": (str,), "results": [shape]}, answer, path)
    else:
        decode([shape] if isinstance(answer, list) else shape, answer, path)


SEGMENTS, FEATURES = "projects/{project}/segments/", "projects/{project}/features/"
ENVIRONMENTS, PROJECTS = "environments/?project={project}", "projects/"

# What is there after each command that changes something, and whether streams of the environment hear of it.
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
        lambda r: r.tenant.api.get(f"projects/{r.tenant.project}/segments/{r.names['pros']}/")["rules"][0]["rules"][0][
            "conditions"
        ][0]["operator"],
        "IN",
        True,
    ),
    # Of one identity's override streams say nothing.
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
        lambda r: r.tenant.api.get(f"environments/{r.names['Staging']}/")["description"],
        "s",
        False,
    ),
    "environment clone Development Copy": (
        lambda r: r.listed(ENVIRONMENTS),
        ["Development", "Staging", "Copy"],
        False,
    ),
    "environment key create Staging": (
        lambda r: [key["name"] for key in r.tenant.api.get(f"environments/{r.names['Staging']}/api-keys/")],
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


def test_cli__every_command__succeeds_is_decoded_and_does_what_it_says(replay: Replay) -> None:
    lines = [json.loads(line) for line in FILE.read_text().splitlines()]
    assert [tuple(line["command"]) for line in lines] == list(COMMANDS), "to be recorded anew"
    release = requests.get(f"{replay.tenant.api.url}/version/", timeout=TIMEOUT).json()["image_tag"]
    assert tuple(map(int, release.split("."))) >= FIRST_RELEASE
    effects = dict(EFFECTS)
    port = int(replay.tenant.api.url.rpartition(":")[2])
    with sse.connect(port, replay.tenant.environment.key) as stream:
        heard = stream.next_event().updated_at
        for line in lines:
            command = " ".join(line["command"])
            for call in line["calls"]:
                replay.make(call)
            named = [each for each in effects if command == each or command.startswith(f"{each} --")]
            effect, wanted, speaks = effects.pop(max(named, key=len)) if named else (None, None, False)
            if effect is not None:
                assert effect(replay) == wanted, command
            heard = hear(stream, heard, replay.tenant.version(), speaks, command)
    assert effects == {}


def hear(stream: sse.Stream, heard: Decimal, version: Decimal, speaks: bool, command: str) -> Decimal:
    """Wait for the event of what was done, if there is to be one. What comes next is never older than that."""
    assert (version > heard) == speaks, command
    if speaks:
        assert stream.event_after(heard).updated_at == version, command
    return version
