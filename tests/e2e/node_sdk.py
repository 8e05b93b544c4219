"""The official SDK for Node, in a process of its own."""

import json
from types import TracebackType
from typing import Self

from tests.e2e.changes import FEATURE, IDENTITY, TRAITS, Seen
from tests.support import programs
from tests.support.api import EnvironmentOfTenant
from tests.support.patience import PATIENCE
from tests.support.processes import Process

PROGRAM = programs.E2E / "node_sdk.mjs"
SDK = programs.E2E / "node_modules" / "flagsmith-nodejs"


class NodeSDK:
    """A context manager: clients with remote and local evaluation, whose API and streams are at this URL."""

    def __init__(self, url: str, environment: EnvironmentOfTenant) -> None:
        if not SDK.is_dir():
            raise programs.ProgramMissingError("the Node SDK is not installed (scripts/test installs it with npm)")
        arguments = [url, environment.key, environment.server_key, FEATURE, IDENTITY, TRAITS]
        self._command = [str(programs.require("node")), str(PROGRAM), json.dumps(arguments)]

    def __enter__(self) -> Self:
        self._process = Process(self._command)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        if error is not None:
            error.add_note(f"The SDK's output:\n{self._process.log}")

    def wait_for(self, seen: Seen, timeout: float = PATIENCE) -> None:
        """Wait until both clients have had this state."""
        self._process.wait_for_log(json.dumps([seen, seen], separators=(",", ":")), timeout)
