"""Records ``cli_calls.jsonl``: ``python -m tests.e2e.cli_recording path/to/flagsmith``.

Runs the command line with each of ``COMMANDS`` against a server of ours, through a proxy that notes every call. Each
command has to succeed.
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

from tests.e2e.cli import COMMANDS, FILE, learn
from tests.support import programs
from tests.support.api import AdminAPI, Tenant
from tests.support.server import ServerProcess, migrated_sqlite

# So that no two numbers are the same, and each can be told from the numbers that a command line was given.
FIRST_NUMBERS = """
import itertools
from django.apps import apps
from django.db import connection
with connection.cursor() as cursor:
    for first, model in zip(itertools.count(10_000, 10_000), apps.get_models()):
        cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [model._meta.db_table])
        cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [model._meta.db_table, first])
"""


class Proxy(BaseHTTPRequestHandler):
    """Passes each call on to ``port``, and notes it."""

    port = 0
    calls: list[dict[str, Any]] = []

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = HTTPConnection("127.0.0.1", self.port)
        headers = {name: self.headers[name] for name in self.headers if name.lower() not in ("host", "accept-encoding")}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.calls.append(
            {
                "method": self.command,
                "path": self.path,
                **({"body": json.loads(body)} if body else {}),
                "status": answer.status,
                "answer": json.loads(content) if content else None,
            }
        )
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass


def named(part: Any, names: dict[Any, str]) -> Any:
    """The opposite of ``tests.e2e.cli.filled``."""
    match part:
        case dict():
            return {key: named(value, names) for key, value in part.items()}
        case list():
            return [named(value, names) for value in part]
        case int() | str() if part in names:
            return f"{{{names[part]}}}"
        case str():
            for value, name in names.items():
                part = re.sub(rf"\b{value}\b", f"{{{name}}}", part)
    return part


def variables(tenant: Tenant, port: int, home: str) -> dict[str, str]:
    """Where the command line finds its server, its project and its keys."""
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
        server.manage("shell", "-c", FIRST_NUMBERS)
        Proxy.port = server.port
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        tenant = Tenant.create(AdminAPI.registered(server.url))
        environ = variables(tenant, proxy.server_port, str(folder))
        names: dict[str, Any] = {}
        learn(names, tenant.api.get(f"organisations/{tenant.organisation}/"))
        learn(names, tenant.api.get(f"projects/{tenant.project}/"))
        learn(names, tenant.api.get(f"environments/{tenant.environment.key}/"))
        lines = []
        for command in COMMANDS:
            Proxy.calls.clear()
            subprocess.run([program, *command, "--yes"], env=environ, cwd=folder, check=True, stdin=subprocess.DEVNULL)
            calls = []
            for call in Proxy.calls:
                by_value = {value: name for name, value in names.items()}
                answer = call.pop("answer")
                calls.append({key: named(value, by_value) for key, value in call.items()})
                learn(names, answer)
            lines.append(json.dumps({"command": command, "calls": calls}))
        proxy.shutdown()
    return lines


if __name__ == "__main__":
    os.chdir(programs.ROOT)
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text("\n".join(record(sys.argv[1], Path(folder))) + "\n")
