"""A client of the Admin API that toggles one flag."""

import http.client
import json
import time
from typing import Any

from tests.support.patience import PATIENCE

TIMEOUT = PATIENCE


class Admin:
    """An admin with a keep-alive connection."""

    METHOD = "PUT"

    def __init__(self, port: int, token: str, key: str, feature: int) -> None:
        self._headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        path = f"/api/v1/environments/{key}/featurestates/"
        state = self._call("GET", f"{path}?feature={feature}")["results"][0]
        self._path = f"{path}{state['id']}/"
        self.feature = feature
        self.enabled: bool = state["enabled"]

    def reconnect(self) -> None:
        """Replace the connection, which the server closes when it is idle."""
        self._connection.close()
        self._connection.connect()

    def toggle(self) -> tuple[float, float]:
        """Toggle the flag. Returns the times of the request and of its response (``time.perf_counter``)."""
        self.enabled = not self.enabled
        body = json.dumps({"enabled": self.enabled})
        sent = time.perf_counter()
        self._call(self.METHOD, self._path, body)
        return sent, time.perf_counter()

    def _call(self, method: str, path: str, body: str | None = None) -> Any:
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path} got {response.status}: {content!r}")
        return json.loads(content)
