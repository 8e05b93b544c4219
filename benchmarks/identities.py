"""How many ``identities/`` one core answers in a second: ``python -m benchmarks.identities``.

P9. 50 features, 5 segments with an override each, identities that exist and have traits, a GET for each in turn, on
connections that are kept open. Each answer's status, version and features are checked, and that the flags of an
identity are those of its segments.
"""

import argparse
import itertools
import json
from collections.abc import Iterator

import requests

from benchmarks import load, report
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.wire import Answer, ProtocolError
from tests.support.api import rules, text

PATH = "/api/v1/identities/"
OVERRIDDEN = "from the segment"


class Scene:
    """Segments, overrides and identities: identity number i has the trait of segment number i modulo their number."""

    def __init__(self, served: Product, segments: int, identities: int) -> None:
        self._served = served
        self.features = len(served.demo["features"])
        self.overridden: dict[str, str] = {}
        """Group to the feature that its segment overrides."""

        for index in range(segments):
            self._add_segment(f"group_{index}", served.demo["features"][-1 - index])
        self.groups = {f"person-{index}": f"group_{index % segments}" for index in range(identities)}
        session = requests.Session()
        session.trust_env = False
        for identifier, group in self.groups.items():
            traits = [{"trait_key": "group", "trait_value": group}, {"trait_key": "age", "trait_value": 42}]
            answer = session.post(
                f"{served.server.url}{PATH}",
                json={"identifier": identifier, "traits": traits},
                headers={"X-Environment-Key": served.key},
                timeout=load.TIMEOUT,
            )
            answer.raise_for_status()

    def _add_segment(self, group: str, feature: dict[str, str]) -> None:
        api, project = self._served.api, self._served.demo["project_id"]
        segment = api.post(f"projects/{project}/segments/", name=group, rules=rules(group=group))["id"]
        api.post(
            f"environments/{self._served.key}/features/{feature['id']}/create-segment-override/",
            feature_segment={"segment": segment},
            enabled=True,
            feature_state_value=text(OVERRIDDEN),
            multivariate_feature_state_values=[],
        )
        self.overridden[group] = feature["name"]

    def requests(self) -> Iterator[bytes]:
        made = [load.get(f"{PATH}?identifier={identifier}", self._served.key) for identifier in self.groups]
        return itertools.cycle(made)

    def check(self, version: int) -> load.Check:
        """Of an answer with these bytes once; the next time it is known."""
        known: set[bytes] = set()

        def check(answer: Answer) -> None:
            if answer.status != 200 or answer.version != version:
                raise ProtocolError(f"{answer.status}, version {answer.version} instead of {version}")
            if answer.body not in known:
                self._check_body(answer.body)
                known.add(answer.body)

        return check

    def _check_body(self, body: bytes) -> None:
        told = json.loads(body)
        traits = {trait["trait_key"]: trait["trait_value"] for trait in told["traits"]}
        values = {flag["feature"]["name"]: flag["feature_state_value"] for flag in told["flags"]}
        group = traits["group"]
        overridden = [name for name, value in values.items() if value == OVERRIDDEN]
        if len(values) != self.features or overridden != [self.overridden[group]]:
            raise ProtocolError(f"an identity of {group} with {len(values)} flags, of them overridden: {overridden}")


def measure(served: Product, scene: Scene, arguments: argparse.Namespace, told: Report) -> None:
    for _ in range(arguments.measurements):
        loaded = load.run(
            served.server.port,
            served.pids,
            scene.requests(),
            scene.check(served.version()),
            seconds=arguments.seconds,
            connections=arguments.connections,
        )
        told.add("ours", loaded.figures())


def main() -> None:
    parser = report.parser("identities", __doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--segments", type=int, default=5)
    parser.add_argument("--identities", type=int, default=1_000)
    report.add_load(parser, load.CONNECTIONS)
    arguments = parser.parse_args()
    conditions = report.conditions(arguments, "features", "segments", "identities")
    told = Report("identities", "P9", "identities/ (GET) a second and core", conditions)
    told.quoted["real Flagsmith"] = "44 a second and core, by the project's design notes"
    told.quoted["the engine alone, without HTTP or a database"] = "14,000 a second and core, by the same"
    told.notes.append("the demo's one segment, which has its own override, is there besides")
    with product() as served:
        served.add_features(arguments.features)
        report.progress("identities: making identities")
        measure(served, Scene(served, arguments.segments, arguments.identities), arguments, told)
    told.tell(arguments)


if __name__ == "__main__":
    main()
