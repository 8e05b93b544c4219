"""The relay, started in a process of its own with an Edge Proxy's configuration file."""

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from signal import SIGHUP
from typing import Any, ClassVar, Protocol

import requests

from tests.support import sse
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess
from tests.support.upstream import Environment

TOKEN = "publisher-t0ken"

NEVER = 86_400
"""Seconds between polls, for a relay that does not poll after its start."""


class Keys(Protocol):
    """An environment's keys."""

    @property
    def key(self) -> str: ...

    @property
    def server_key(self) -> str: ...


def pairs(*environments: Keys) -> list[dict[str, str]]:
    """The environments' entries in the configuration."""
    return [{"server_side_key": each.server_key, "client_side_key": each.key} for each in environments]


class RelayServer(ServerProcess):
    """A context manager. It keeps its file and its state in the folder, and serves these environments of an API.

    ``configuration`` replaces parts of the file, ``variables`` are environment variables.
    """

    DEFAULTS: ClassVar = {"REALTIME_DRAIN_SECONDS": "0.1", "REALTIME_STREAM_SECONDS": "3600"}

    def __init__(
        self,
        folder: Path,
        api_url: str,
        /,
        *environments: Keys,
        configuration: Mapping[str, Any] | None = None,
        **variables: str,
    ) -> None:
        self.file = folder / "config.json"
        self.state = folder / "state"
        own = {
            "CONFIG_PATH": str(self.file),
            "SSE_AUTHENTICATION_TOKEN": TOKEN,
            "RELAY_STATE_DIR": str(self.state),
        }
        super().__init__({**own, **variables})
        self.configuration: dict[str, Any] = {
            "environment_key_pairs": pairs(*environments),
            "api_url": api_url,
            "api_poll_frequency_seconds": NEVER,
            **(configuration or {}),
        }
        self.configuration["server"] = {
            **self.configuration.get("server", {}),
            "host": "127.0.0.1",
            "port": self.port,
        }
        self.write()

    def write(self, **configuration: Any) -> None:
        """Replace parts of the configuration file."""
        self.configuration |= configuration
        self.file.write_text(json.dumps(self.configuration))

    def reload(self) -> None:
        self.process.send(SIGHUP)

    def is_ready(self) -> bool:
        """Whether it serves. Its readiness needs documents, which a test may withhold."""
        try:
            return self.get("/proxy/health/liveness").status == 200
        except OSError:
            return False

    def request(self, method: str, path: str, key: str | None = None, **options: Any) -> requests.Response:
        """A request of the SDK API, on a connection of its own. Redirects are not followed."""
        headers = {**({} if key is None else {"X-Environment-Key": key}), **options.pop("headers", {})}
        url = self.url + (path if path.startswith("/") else f"/api/v1/{path}")
        return requests.request(method, url, headers=headers, timeout=PATIENCE, allow_redirects=False, **options)

    def flags(self, environment: Keys) -> dict[str, tuple[bool, Any]]:
        """The flags of the client-side key: name to (enabled, value)."""
        answer = self.request("GET", "flags/", environment.key)
        assert answer.status_code == 200, answer.text
        return by_name(answer.json())

    def post(self, environment: Environment, version: datetime | None = None, token: str = TOKEN) -> int:
        """Post a version, by default the environment's, as Flagsmith does. Returns the status."""
        return self.request(
            "POST",
            f"/sse/environments/{environment.key}/queue-change",
            json={"updated_at": (version or environment.version).isoformat()},
            headers={"Authorization": f"Token {token}"},
        ).status_code

    def connect(self, environment: Keys, **options: Any) -> sse.Stream:
        """A stream of the environment."""
        return sse.connect(self.port, environment.key, **options)

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "realtime.relay"]


def by_name(flags: list[dict[str, Any]]) -> dict[str, tuple[bool, Any]]:
    """Flags of a response: name to (enabled, value)."""
    return {flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"]) for flag in flags}
