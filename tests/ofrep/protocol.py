"""The answers of OFREP 0.3.0, as JSON schemas.

Written after ``service/openapi.yaml`` of github.com/open-feature/protocol (Apache-2.0), at the commit ``COMMIT``. If
``OFREP_PROTOCOL`` is the path of that file, each answer is validated against it as well.

The file's schema of an evaluation is ``oneOf`` of a schema for each type and one for evaluations without a value. Every
evaluation with a value matches that last one too, and integers match the schema of floats. So ``anyOf`` is meant.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import requests
import yaml
from jsonschema import Draft202012Validator

COMMIT = "d1a63a4e84e6297599ce566126e7764c1419f80a"

TEXT = {"type": "string"}
METADATA = {"type": "object", "additionalProperties": {"type": ["boolean", "string", "number"]}}
REASONS = ["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]

SUCCESS = {
    "type": "object",
    "required": ["key", "reason"],
    "properties": {
        "key": TEXT,
        "value": {"type": ["boolean", "string", "number", "object"]},
        "reason": {"enum": REASONS},
        "variant": TEXT,
        "metadata": METADATA,
    },
}
FAILURE = {
    "type": "object",
    "required": ["key", "errorCode"],
    "properties": {
        "key": TEXT,
        "errorCode": {"enum": ["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]},
        "errorDetails": TEXT,
        "metadata": METADATA,
    },
}
NOT_FOUND = {**FAILURE, "properties": {**FAILURE["properties"], "errorCode": {"enum": ["FLAG_NOT_FOUND"]}}}  # type: ignore[dict-item]
BULK_FAILURE = {"type": "object", "required": ["errorCode"], "properties": {"errorCode": TEXT, "errorDetails": TEXT}}
SERVER_ERROR = {"type": "object", "properties": {"errorDetails": TEXT}}
ENDPOINT = {
    "type": "object",
    "required": ["requestUri"],
    "properties": {"origin": TEXT, "requestUri": {"type": "string", "pattern": "^/"}},
}
STREAM = {
    "type": "object",
    "required": ["type"],
    "oneOf": [
        {"required": ["url"], "not": {"required": ["endpoint"]}},
        {"required": ["endpoint"], "not": {"required": ["url"]}},
    ],
    "properties": {
        "type": TEXT,
        "url": TEXT,
        "endpoint": ENDPOINT,
        "inactivityDelaySec": {"type": "integer", "minimum": 1},
    },
}
BULK = {
    "type": "object",
    "required": ["flags"],
    "properties": {
        "flags": {"type": "array", "items": {"oneOf": [SUCCESS, FAILURE]}},
        "metadata": METADATA,
        "eventStreams": {"type": "array", "items": STREAM},
    },
}
EVENT = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": TEXT,
        "etag": TEXT,
        "lastModified": {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]},
    },
}

PATHS = {"bulk": "/ofrep/v1/evaluate/flags", "single": "/ofrep/v1/evaluate/flags/{key}"}

BODIES = {
    "bulk": {200: BULK, 400: BULK_FAILURE, 500: SERVER_ERROR},
    "single": {200: SUCCESS, 400: FAILURE, 404: NOT_FOUND, 500: SERVER_ERROR},
}
EMPTY = {"bulk": {304, 401, 403, 429}, "single": {401, 403, 429}}
"""The statuses of which the protocol describes no body."""


def check(answer: requests.Response) -> None:
    """Fail unless the protocol has this answer."""
    kind = "bulk" if answer.request.path_url.partition("?")[0] == PATHS["bulk"] else "single"
    if answer.status_code in EMPTY[kind]:
        return
    assert answer.status_code in BODIES[kind], (answer.status_code, answer.text)
    assert answer.headers["Content-Type"] == "application/json"
    _validate(BODIES[kind][answer.status_code], answer.json())
    if path := os.environ.get("OFREP_PROTOCOL"):
        operation = f"#/paths/{PATHS[kind].replace('/', '~1').replace('{', '%7B').replace('}', '%7D')}/post"
        content = f"{operation}/responses/{answer.status_code}/content/application~1json/schema"
        _validate({**_document(Path(path)), "$ref": content}, answer.json())


def check_event(data: str) -> dict[str, Any]:
    """The parsed data of an event. Fail unless the protocol has it."""
    parsed: dict[str, Any] = json.loads(data)
    _validate(EVENT, parsed)
    if path := os.environ.get("OFREP_PROTOCOL"):
        _validate({**_document(Path(path)), "$ref": "#/components/schemas/sseEventData"}, parsed)
    return parsed


def _validate(schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator(schema).validate(value)


@cache
def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    for part in document["components"]["schemas"]["evaluationSuccess"]["allOf"]:
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")
    return document
