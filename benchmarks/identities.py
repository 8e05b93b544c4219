"""``identities/`` requests per second and core: ``python -m benchmarks.identities``.

P9. 50 features, 5 segments with an override each, and existing identities with traits; a GET for each in turn, on
keep-alive connections. Each response's status, version, features and segment override are checked.
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
OVERRIDE_VALUE = "from the segment"


class SegmentIdentities:
    """Segments with overrides, and identities, which are evenly distributed over the segments by a trait."""

    def __init__(self, served: Product, segments: int, identities: int) -> None:
        self._served = served
        self.features = len(served.demo["features"])
        self.overridden: dict[str, str] = {}
        """The feature that a group's segment overrides, by group."""

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
            feature_state_value=text(OVERRIDE_VALUE),
            multivariate_feature_state_values=[],
        )
        self.overridden[group] = feature["name"]

    def requests(self) -> Iterator[bytes]:
        made = [load.get(f"{PATH}?identifier={identifier}", self._served.key) for identifier in self.groups]
        return itertools.cycle(made)

    def check(self, version: int) -> load.Check:
        """A check of responses, which parses equal bodies only once."""
        checked: set[bytes] = set()

        def check(answer: Answer) -> None:
            if answer.status != 200 or answer.version != version:
                raise ProtocolError(f"{answer.status}, version {answer.version} instead of {version}")
            if answer.body not in checked:
                self._check_body(answer.body)
                checked.add(answer.body)

        return check

    def _check_body(self, body: bytes) -> None:
        parsed = json.loads(body)
        traits = {trait["trait_key"]: trait["trait_value"] for trait in parsed["traits"]}
        values = {flag["feature"]["name"]: flag["feature_state_value"] for flag in parsed["flags"]}
        group = traits["group"]
        overridden = [name for name, value in values.items() if value == OVERRIDE_VALUE]
        if len(values) != self.features or overridden != [self.overridden[group]]:
            raise ProtocolError(f"an identity of {group} with {len(values)} flags, of them overridden: {overridden}")


def measure(served: Product, identities: SegmentIdentities, arguments: argparse.Namespace, result: Report) -> None:
    for _ in range(arguments.measurements):
        loaded = load.run(
            served.server.port,
            served.pids,
            identities.requests(),
            identities.check(served.version()),
            seconds=arguments.seconds,
            connections=arguments.connections,
        )
        result.add("ours", loaded.figures())


def main() -> None:
    parser = report.parser("identities", __doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--segments", type=int, default=5)
    parser.add_argument("--identities", type=int, default=1_000)
    report.add_load(parser, load.CONNECTIONS)
    arguments = parser.parse_args()
    conditions = report.conditions(arguments, "features", "segments", "identities")
    result = Report("identities", "P9", "identities/ (GET) per second and core", conditions)
    result.quoted["real Flagsmith"] = "44 per second and core, according to the project's design notes"
    result.quoted["the engine without HTTP or a database"] = "14,000 per second and core, according to the same"
    result.notes.append("the demo's segment, which has its own override, exists as well")
    with product() as served:
        served.add_features(arguments.features)
        report.progress("identities: creating identities")
        measure(served, SegmentIdentities(served, arguments.segments, arguments.identities), arguments, result)
    result.output(arguments)


if __name__ == "__main__":
    main()
