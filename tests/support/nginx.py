"""nginx with the configuration in ``deploy/nginx``, in front of servers of the tests.

with Nginx([server.port for server in servers]) as nginx:
    requests.get(f"{nginx.url}/api/v1/flags/", ...)
    requests.get(f"{nginx.tls_url}/api/v1/flags/", verify=nginx.certificate, ...)
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import ports, programs
from tests.support.processes import Process, accepts_connections

CONFIGURATION = programs.ROOT / "deploy" / "nginx"

NAME = "flags.example.com"

# The folders of nginx's temporary files; the compiled-in ones belong to the system.
TEMPORARY = "\n".join(
    f"{kind}_temp_path {{folder}}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)


class Nginx:
    """The files of ``deploy/nginx``, with the ports, certificate, folders and number of open files of this machine."""

    def __init__(self, upstreams: Sequence[int], *, workers: int = 1, files: int = 4096) -> None:
        self._program = programs.require("nginx")
        self._upstreams = upstreams
        self._workers = workers
        self._files = files
        self._stack = ExitStack()
        self.port = ports.free_port()
        self.tls_port = ports.free_port()
        self.process: Process | None = None

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nginx-")))
        self._write()
        process = self.process = Process([*self.command, "-g", "daemon off;"])
        self._stack.callback(process.stop)
        process.wait_until(lambda: accepts_connections(self.port) and accepts_connections(self.tls_port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"nginx's log:\n{self.log[-4000:]}")
        self._stack.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://{NAME}:{self.tls_port}"

    @property
    def certificate(self) -> Path:
        """The certificate that a client has to trust."""
        return self.folder / "tls" / "fullchain.pem"

    @property
    def log(self) -> str:
        """The content of its error log."""
        file = self.folder / "error.log"
        return file.read_text() if file.exists() else ""

    @property
    def command(self) -> list[str]:
        folder = str(self.folder)
        return [str(self._program), "-e", f"{folder}/error.log", "-p", folder, "-c", f"{folder}/nginx.conf"]

    def check(self) -> str:
        """The output of ``nginx -t``, which checks the files."""
        done = subprocess.run([*self.command, "-t"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stderr

    def _write(self) -> None:
        shutil.copytree(CONFIGURATION, self.folder, dirs_exist_ok=True)
        self._make_certificate()
        self._change(
            "nginx.conf",
            ("worker_processes auto;", f"worker_processes {self._workers};{self._user()}"),
            ("/run/nginx.pid", f"{self.folder}/nginx.pid"),
            (r"worker_rlimit_nofile \d+;", f"worker_rlimit_nofile {self._files};"),
            (r"worker_connections \d+;", f"worker_connections {self._files};"),
            ("http {", "http {\n" + TEMPORARY.format(folder=self.folder)),
        )
        servers = "\n".join(f"    server 127.0.0.1:{port} max_fails=0;" for port in self._upstreams)
        self._change("upstream.conf", (r"(    server 127.0.0.1:\d+ max_fails=0;\n)+", servers + "\n"))
        self._change(
            "site.conf",
            (r"    listen \[::\]:\d+( ssl)?;\n", ""),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.tls_port} ssl backlog=4096;"),
            ("listen 80;", f"listen 127.0.0.1:{self.port} backlog=4096;"),
            ("/etc/nginx/tls", f"{self.folder}/tls"),
            ("/var/log/nginx", str(self.folder)),
        )

    def _change(self, name: str, *changes: tuple[str, str]) -> None:
        """Replace patterns in a file. Each has to occur, otherwise this class has to follow a change of the file."""
        file = self.folder / name
        text = file.read_text()
        for pattern, replacement in changes:
            text, found = re.subn(pattern, replacement.replace("\\", r"\\"), text)
            if not found:
                raise ValueError(f"{name} has no {pattern!r}")
        file.write_text(text)

    def _user(self) -> str:
        # The workers need access to the folder.
        return "\nuser root;" if self.folder.owner() == "root" else ""

    def _make_certificate(self) -> None:
        (self.folder / "tls").mkdir()
        files = ["-keyout", f"{self.folder}/tls/privkey.pem", "-out", f"{self.folder}/tls/fullchain.pem"]
        names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1"]
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        subprocess.run(["openssl", "req", *kind, *files, *names], check=True, capture_output=True)
