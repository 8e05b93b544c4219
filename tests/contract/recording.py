"""The recorded calls of a Flagsmith, and their replay against this product."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rest_framework.test import APIClient

FILE = Path(__file__).with_name("recorded.jsonl")

LONG_VALUE = "value of 20,001 characters"

PLACEHOLDER = re.compile(r"\{(\w+)\}")

# Values that later calls need: the call whose response has the value, and the path to it.
FOUND_IN: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "token": ("login", ("key",)),
    "org": ("org create", ("id",)),
    "project": ("project create", ("id",)),
    "env": ("env create", ("api_key",)),
    "envid": ("env create", ("id",)),
    "server": ("server key", ("key",)),
    "keyid": ("server key", ("id",)),
    "f1": ("feature create", ("id",)),
    "f2": ("feature 2", ("id",)),
    "f3": ("feature mv", ("id",)),
    "mv3": ("mv create", ("id",)),
    "fs1": ("fs list", ("results", 0, "id")),
    "fs2": ("fs list", ("results", 1, "id")),
    "seg": ("segment create", ("id",)),
    "fseg": ("override", ("feature_segment", "id")),
    "fseg2": ("feature segment create", ("id",)),
    "ident": ("identity list", ("results", 0, "id")),
    "ifs": ("identity fs create", ("id",)),
    "audit": ("audit", ("results", 0, "id")),
    "clone": ("clone", ("api_key",)),
}


@dataclass(frozen=True)
class Call:
    """A recorded call. ``auth`` is the kind of its key: none, user, env or server."""

    name: str
    method: str
    path: str
    auth: str
    status: int
    answer: Any
    body: Any = None
    headers: dict[str, str] | None = None

    @property
    def resource(self) -> str:
        """The last word of the path that is no placeholder: "features" of ``projects/{project}/features/{f1}/``."""
        words = [word for word in self.path.partition("?")[0].split("/") if word and not PLACEHOLDER.fullmatch(word)]
        return words[-1]


@dataclass(frozen=True)
class Answer:
    """The response of this product, or the reason why the call could not be made."""

    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    impossible: str = ""


@cache
def calls() -> tuple[Call, ...]:
    with FILE.open() as lines:
        return tuple(Call(**json.loads(line)) for line in lines)


class MissingError(LookupError):
    """An earlier response does not have a value that this call needs."""


class Session:
    """A replay of the recorded session against this product."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}

    def replay(self) -> dict[str, Answer]:
        """Make every call in the recorded order. The responses by call name."""
        for call in calls():
            try:
                self.answers[call.name] = self._make(call)
            except MissingError as missing:
                self.answers[call.name] = Answer(impossible=str(missing))
        return self.answers

    def _make(self, call: Call) -> Answer:
        client = APIClient(raise_request_exception=False)
        path = PLACEHOLDER.sub(lambda match: str(self._value(match[1])), call.path)
        body = {"name": "long", "initial_value": "x" * 20_001} if call.body == LONG_VALUE else self._filled(call.body)
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        response = client.generic(call.method, path, **data, headers=dict(self._credentials(call)))
        content = response.content.decode()
        return Answer(response.status_code, json.loads(content) if content else None, dict(response.headers))

    def _credentials(self, call: Call) -> Iterator[tuple[str, str]]:
        match call.auth:
            case "user":
                yield "Authorization", f"Token {self._value('token')}"
            case "env" | "server":
                yield "X-Environment-Key", self._value(call.auth)

    def _filled(self, body: Any) -> Any:
        """The body with each "#{name}" replaced by its value."""
        match body:
            case dict():
                return {key: self._filled(value) for key, value in body.items()}
            case list():
                return [self._filled(value) for value in body]
            case str() if body.startswith("#") and (match := PLACEHOLDER.fullmatch(body[1:])):
                return self._value(match[1])
        return body

    def _value(self, name: str) -> Any:
        call, path = FOUND_IN[name]
        found = self.answers[call].body
        try:
            for step in path:
                found = found[step]
        except (KeyError, IndexError, TypeError):
            raise MissingError(f"{call!r} has no {name!r} ({path}) in its response {self.answers[call]}") from None
        return found
