"""Records ``cli_calls.jsonl``: ``python -m tests.e2e.cli_recording path/to/flagsmith``.

Runs each of ``COMMANDS`` against a test server, through a proxy that records every call. Each command has to succeed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.cli import COMMANDS, RECORDING, add_placeholders
from tests.support import programs
from tests.support.api import AdminAPI, Tenant
from tests.support.server import ServerProcess, migrated_sqlite

# Makes ids unique across models, and different from the numbers in commands.
SET_FIRST_IDS = """
import itertools
from django.apps import apps
from django.db import connection
with connection.cursor() as cursor:
    for first, model in zip(itertools.count(10_000, 10_000), apps.get_models()):
        cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [model._meta.db_table])
        cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [model._meta.db_table, first])
"""


class Proxy(BaseHTTPRequestHandler):
    """Forwards each call to ``port`` and records it."""

    port = 0
    calls: list[dict[str, Any]] = []

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = HTTPConnection("127.0.0.1", self.port)
        headers = {name: self.headers[name] for name in self.headers if name.lower() not in ("host", "accept-encoding")}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        self.calls.append(
            {
                "method": self.command,
                "path": self.path,
                **({"body": json.loads(body)} if body else {}),
                "status": response.status,
                "response": json.loads(content) if content else None,
            }
        )
        self.send_response(response.status)
        self.send_header("Content-Type", response.headers.get("Content-Type", ""))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass


def insert_placeholders(part: Any, names: dict[Any, str]) -> Any:
    """The inverse of ``tests.e2e.cli.substitute``."""
    match part:
        case dict():
            return {key: insert_placeholders(value, names) for key, value in part.items()}
        case list():
            return [insert_placeholders(value, names) for value in part]
        case int() | str() if part in names:
            return f"{{{names[part]}}}"
        case str():
            for value, name in names.items():
                part = re.sub(rf"\b{value}\b", f"{{{name}}}", part)
    return part


def variables(tenant: Tenant, port: int, home: str) -> dict[str, str]:
    """Environment variables for the command line: server, project and keys."""
    key = tenant.api.post(f"organisations/{tenant.organisation}/master-api-keys/", name="cli")["key"]
    url = f"http://127.0.0.1:{port}"
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "FLAGSMITH_API_URL": url,
        "FLAGSMITH_SDK_API_URL": url,
        f"FLAGSMITH_API_KEY_127_0_0_1_{port}": key,
        f"FLAGSMITH_ENVIRONMENT_KEY_127_0_0_1_{port}": tenant.environment.key,
        "FLAGSMITH_ORGANISATION": str(tenant.organisation),
        "FLAGSMITH_PROJECT": str(tenant.project),
        "FLAGSMITH_ENVIRONMENT": tenant.environment.key,
        "FLAGSMITH_NO_INPUT": "1",
        "FLAGSMITH_JSON_OUTPUT": "1",
    }


def record(program: str, folder: Path) -> list[str]:
    with ServerProcess(migrated_sqlite().copy(folder / "server")) as server:
        server.manage("shell", "-c", SET_FIRST_IDS)
        Proxy.port = server.port
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        tenant = Tenant.create(AdminAPI.registered(server.url))
        environ = variables(tenant, proxy.server_port, str(folder))
        placeholders: dict[str, Any] = {}
        add_placeholders(placeholders, tenant.api.get(f"organisations/{tenant.organisation}/"))
        add_placeholders(placeholders, tenant.api.get(f"projects/{tenant.project}/"))
        add_placeholders(placeholders, tenant.api.get(f"environments/{tenant.environment.key}/"))
        lines = []
        for command in COMMANDS:
            Proxy.calls.clear()
            subprocess.run([program, *command, "--yes"], env=environ, cwd=folder, check=True, stdin=subprocess.DEVNULL)
            calls = []
            for call in Proxy.calls:
                by_value = {value: name for name, value in placeholders.items()}
                response = call.pop("response")
                calls.append({key: insert_placeholders(value, by_value) for key, value in call.items()})
                add_placeholders(placeholders, response)
            lines.append(json.dumps({"command": command, "calls": calls}))
        proxy.shutdown()
    return lines


if __name__ == "__main__":
    os.chdir(programs.ROOT)
    with tempfile.TemporaryDirectory() as folder:
        RECORDING.write_text("\n".join(record(sys.argv[1], Path(folder))) + "\n")
