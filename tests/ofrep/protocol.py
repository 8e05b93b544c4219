"""OFREP 0.3.0: validates answers and events against the protocol's description, and tries requests that it allows.

The description is ``protocol.yaml``, or the protocol's own ``service/openapi.yaml``, if OFREP_PROTOCOL is its path. The
file's schema of an evaluation is ``oneOf`` of a schema for each type and one for evaluations without a value. Every
evaluation with a value matches that last one too, and integers match the schema of floats. So ``anyOf`` is meant.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.patience import PATIENCE

ALL_FLAGS = "/ofrep/v1/evaluate/flags"
ONE_FLAG = "/ofrep/v1/evaluate/flags/{key}"

EXAMPLES = int(os.environ.get("OFREP_EXAMPLES", "50"))
"""The requests of each kind that ``explore`` sends to each endpoint."""

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def check(answer: requests.Response) -> None:
    """Fail unless the protocol has this answer."""
    path = ALL_FLAGS if answer.request.path_url.partition("?")[0] == ALL_FLAGS else ONE_FLAG
    responses = description()["paths"][path]["post"]["responses"]
    assert str(answer.status_code) in responses, (answer.status_code, answer.text)
    for content_type, media in responses[str(answer.status_code)].get("content", {}).items():
        assert answer.headers["Content-Type"] == content_type
        _validate(media["schema"], answer.json())


def check_event(data: str) -> dict[str, Any]:
    """The parsed data of an event. Fail unless the protocol has it."""
    parsed: dict[str, Any] = json.loads(data)
    _validate({"$ref": "#/components/schemas/sseEventData"}, parsed)
    return parsed


def explore(url: str, key: str) -> dict[int, int]:
    """Send valid and invalid requests to both endpoints of this server. Returns the number of answers of each status.

    Fail unless each answer is one of the protocol, and none is a server error.
    """
    api = schemathesis.openapi.from_dict(description())
    api.config.update(base_url=url)
    statuses: dict[int, int] = {}
    for operation in (result.ok() for result in api.get_all_operations()):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=EXAMPLES,
                database=None,
                derandomize=True,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def each(case: Any) -> None:
                answer = case.call(headers={"X-API-Key": key}, timeout=PATIENCE)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                case.validate_response(answer, checks=CHECKS)

            each()
    return statuses


@cache
def description() -> dict[str, Any]:
    """The protocol's description, as OpenAPI."""
    file = os.environ.get("OFREP_PROTOCOL") or Path(__file__).with_name("protocol.yaml")
    parsed: dict[str, Any] = yaml.safe_load(Path(file).read_text())
    for part in parsed["components"]["schemas"].get("evaluationSuccess", {}).get("allOf", []):
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")
    return parsed


def _validate(schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator({**schema, "components": description()["components"]}).validate(value)
