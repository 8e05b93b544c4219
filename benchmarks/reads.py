"""Reads of the SDK API under load, with checks of all answers: ``flags/``, ``identities/`` and OFREP.

An environment has segments with an override each, and identities that are evenly distributed over them by a trait. Its
servers are the product, the relay in front of it, and Flagsmith's Edge Proxy; they are measured by turns.
"""

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

from benchmarks import load
from benchmarks.peers.edge_proxy import edge_proxy
from benchmarks.report import Report
from benchmarks.server import Product, relay
from benchmarks.wire import Answer, ProtocolError
from tests.support.api import VERSION_HEADER, rules, text

FLAGS = "/api/v1/flags/"
IDENTITIES = "/api/v1/identities/"
OFREP = "/ofrep/v1/evaluate/flags"
OVERRIDE_VALUE = "from the segment"


class Server(NamedTuple):
    """A server under measurement, and whether it stores traits (a GET of an identity evaluates the stored ones)."""

    port: int
    pids: list[int]
    stores_traits: bool = True


class Load(NamedTuple):
    """Requests, and the check of their answers, at a server."""

    server: Server
    requests: Iterator[bytes]
    check: load.Check


class SameFlags:
    """Checks that all responses have this number of features, this version, and the same bytes."""

    def __init__(self, features: int, version: int) -> None:
        self._features = features
        self._version = version
        self._body: bytes | None = None

    def __call__(self, answer: Answer) -> None:
        _require(answer.status == 200 and answer.version == self._version, answer)
        if self._body is None:
            _require(len({flag["feature"]["name"] for flag in json.loads(answer.body)}) == self._features, answer)
            self._body = answer.body
        _require(answer.body == self._body, answer)


class Environment:
    """An environment of the product with segments and identities, and requests for it."""

    def __init__(self, served: Product, features: int, segments: int = 0, identities: int = 0) -> None:
        served.add_features(features)
        self.served = served
        self.features = features
        self.overridden: dict[str, str] = {}
        """The feature that a group's segment overrides, by group."""

        for index in range(segments):
            self._add_segment(f"group_{segments}_{index}", served.demo["features"][-1 - index])
        groups = list(self.overridden)
        self._groups = {f"person-{segments}-{index}": groups[index % segments] for index in range(identities)}
        for identifier in self._groups:
            self._answer(Server(served.server.port, served.pids), IDENTITIES, self._traits(identifier))

    def flags(self, server: Server, *headers: str) -> Load:
        check = SameFlags(self.features, self._version(server))
        return Load(server, itertools.repeat(load.get(FLAGS, self.served.key, *headers)), check)

    def gets(self, server: Server) -> Load:
        """A GET for each identity in turn."""
        made = [load.get(f"{IDENTITIES}?identifier={identifier}", self.served.key) for identifier in self._groups]
        return Load(server, itertools.cycle(made), self._check_identities(server))

    def posts(self, server: Server) -> Load:
        """A POST for each identity in turn, with the traits that it has."""
        made = [self._request(IDENTITIES, self._traits(identifier)) for identifier in self._groups]
        return Load(server, itertools.cycle(made), self._check_identities(server))

    def evaluations(self, server: Server) -> Load:
        """OFREP's bulk evaluation for each identity's context in turn."""
        made = [self._request(OFREP, self._context(identifier)) for identifier in self._groups]
        return Load(server, itertools.cycle(made), self._check_evaluations(server))

    def unchanged(self, server: Server) -> Load:
        """The same with the ETag of the answer to each context."""
        made = []
        for context in map(self._context, self._groups):
            etag = self._answer(server, OFREP, context).headers["ETag"]
            made.append(self._request(OFREP, context, f"If-None-Match: {etag}"))
        return Load(server, itertools.cycle(made), lambda answer: _require(answer.status == 304, answer))

    def _add_segment(self, group: str, feature: dict[str, str]) -> None:
        api, project = self.served.api, self.served.demo["project_id"]
        segment = api.post(f"projects/{project}/segments/", name=group, rules=rules(group=group))["id"]
        api.post(
            f"environments/{self.served.key}/features/{feature['id']}/create-segment-override/",
            feature_segment={"segment": segment},
            enabled=True,
            feature_state_value=text(OVERRIDE_VALUE),
            multivariate_feature_state_values=[],
        )
        self.overridden[group] = feature["name"]

    def _traits(self, identifier: str) -> dict[str, Any]:
        traits = {"group": self._groups[identifier], "age": 42, "newsletter": True}
        pairs = [{"trait_key": key, "trait_value": value} for key, value in traits.items()]
        return {"identifier": identifier, "traits": pairs}

    def _context(self, identifier: str) -> dict[str, Any]:
        group = self._groups[identifier]
        return {"context": {"targetingKey": identifier, "group": group, "age": 42, "newsletter": True}}

    def _request(self, path: str, body: dict[str, Any], *headers: str) -> bytes:
        return load.post(path, json.dumps(body), *self._key_headers(), *headers)

    def _key_headers(self) -> list[str]:
        return [f"X-Environment-Key: {self.served.key}", f"X-API-Key: {self.served.key}"]

    def _answer(self, server: Server, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        """One request, outside of a measurement."""
        headers = dict(line.split(": ") for line in self._key_headers())
        url, method = f"http://127.0.0.1:{server.port}{path}", "GET" if body is None else "POST"
        answer = requests.request(method, url, json=body, headers=headers, timeout=load.TIMEOUT)
        answer.raise_for_status()
        return answer

    def _version(self, server: Server) -> int:
        """The version of the server's answers; 0 if they have none, as those of the Edge Proxy."""
        has_version = VERSION_HEADER in self._answer(server, FLAGS).headers
        return self.served.version() if has_version else 0

    def _check_identities(self, server: Server) -> load.Check:
        version = self._version(server)

        def check(answer: Answer, parsed: Any) -> None:
            _require(answer.version == version, answer)
            traits = {trait["trait_key"]: trait["trait_value"] for trait in parsed["traits"]}
            values = {flag["feature"]["name"]: flag["feature_state_value"] for flag in parsed["flags"]}
            expected = [self.overridden[traits["group"]]] if server.stores_traits or traits else []
            self._check_values(answer, values, expected)

        return _each_body_once(check)

    def _check_evaluations(self, server: Server) -> load.Check:
        first = self._answer(server, OFREP, self._context(next(iter(self._groups))))
        version = first.json()["metadata"]["version"]

        def check(answer: Answer, parsed: Any) -> None:
            _require(parsed["metadata"]["version"] == version, answer)
            values = {flag["key"]: flag.get("value") for flag in parsed["flags"]}
            overridden = [name for name in self.overridden.values() if values[name] == OVERRIDE_VALUE]
            _require(len(overridden) == 1, answer)
            self._check_values(answer, values, overridden)

        return _each_body_once(check)

    def _check_values(self, answer: Answer, values: Mapping[str, Any], overridden: list[str]) -> None:
        found = [name for name, value in values.items() if value == OVERRIDE_VALUE]
        _require(len(values) == self.features and found == overridden, answer)


def _each_body_once(check: Any) -> load.Check:
    """A check of answers, which parses equal bodies only once."""
    checked: set[tuple[int, bytes]] = set()

    def check_answer(answer: Answer) -> None:
        _require(answer.status == 200, answer)
        if (answer.version, answer.body) not in checked:
            check(answer, json.loads(answer.body))
            checked.add((answer.version, answer.body))

    return check_answer


def _require(is_right: bool, answer: Answer) -> None:
    if not is_right:
        raise ProtocolError(f"a wrong answer: {answer.status}, version {answer.version}, {answer.body[:500]!r}")


@contextmanager
def servers(served: Product, checkout: Path | None) -> Iterator[dict[str, Server]]:
    """The product, the relay in front of it, and the Edge Proxy of this checkout. All are on one core."""
    keys = served.demo["environments"][0]
    with ExitStack() as stack:
        held = stack.enter_context(relay(served))
        running = {
            "product": Server(served.server.port, served.pids),
            "relay": Server(held.port, [held.process.pid], stores_traits=False),
        }
        if checkout is not None:
            url = f"{served.server.url}/api/v1"
            port, pid = stack.enter_context(edge_proxy(checkout, url, keys["api_key"], keys["server_key"]))
            running["Edge Proxy"] = Server(port, [pid], stores_traits=False)
        yield running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--edge-proxy", type=Path, metavar="PATH", help="a checkout of Flagsmith's Edge Proxy")
    parser.add_argument("--connections", type=int, default=load.CONNECTIONS)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--measurements", type=int, default=3)


def measure(result: Report, loads: Mapping[str, Load], arguments: argparse.Namespace) -> None:
    """Measure the loads by turns, each as often as the arguments say."""
    for _ in range(arguments.measurements):
        for name, (server, made, check) in loads.items():
            loaded = load.run(
                server.port,
                server.pids,
                made,
                check,
                seconds=arguments.seconds,
                connections=arguments.connections,
            )
            result.add(name, loaded.figures())
