"""A checkout of Flagsmith, its virtual environment with the packages of its lock file, and its migrated database.

Environment and database take minutes to create. They are cached in ``var/flagsmith`` by a digest of their sources.
Nothing is written to the checkout.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from tests.support import programs
from tests.support.postgresql import PostgreSQL, postgresql_version
from tests.support.wheel import build

CACHE = programs.ROOT / "var" / "flagsmith"

UV = "uv==0.13.9"

DATABASE = "flagsmith"

# The checkout's extra with the packages of its tests.
DEVELOPMENT = "dev"

# Packages from repositories are installed from the index, in the version of the lock file.
FROM_REPOSITORY = re.compile(r"^(?P<name>[\w.-]+) @ git\+.*$", re.MULTILINE)

# Prefixes of environment variables that Flagsmith's programs get from the tests' environment.
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "PIP_", "UV_", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class NoCheckoutError(Exception):
    """The folder is no checkout of Flagsmith."""


class Checkout:
    """Flagsmith's sources in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.api = self.folder / "api"
        self._lock = self.api / "uv.lock"
        if not (self.api / "manage.py").is_file() or not self._lock.is_file():
            raise NoCheckoutError(f"{folder} is no checkout of Flagsmith: it has no api/manage.py and api/uv.lock")

    @cached_property
    def version(self) -> str:
        """The release, for example 2.265.0."""
        return str(json.loads((self.folder / ".release-please-manifest.json").read_text())["."])

    @cached_property
    def python(self) -> Path:
        """The Python of an environment with exactly the packages of the lock file."""
        return self._environment()

    @cached_property
    def python_with_app(self) -> Path:
        """The same with our current wheel. Its dependencies are constrained by the lock file."""
        return self._environment_with_app(self.python)

    @cached_property
    def python_for_tests(self) -> Path:
        """As ``python``, with the packages of Flagsmith's tests."""
        return self._environment(DEVELOPMENT)

    @cached_property
    def python_for_tests_with_app(self) -> Path:
        """As ``python_with_app``, with the packages of Flagsmith's tests."""
        return self._environment_with_app(self.python_for_tests, DEVELOPMENT)

    @cached_property
    def cluster(self) -> Path:
        """A saved PostgreSQL with a migrated database ``flagsmith``."""
        files = sorted(self.api.glob("**/migrations/*.py"))
        content = [str(path.relative_to(self.api)).encode() + path.read_bytes() for path in files]
        digest = _digest(postgresql_version().encode(), self._lock.read_bytes(), *content)
        folder = CACHE / f"database-{digest}"
        with _locked(folder.name):
            if not folder.exists():
                print(f"Migrating a database of Flagsmith {self.version}, which takes two to three minutes", flush=True)
                self._migrate(folder)
        return folder

    def environ(self, **variables: str) -> dict[str, str]:
        """The environment variables of a Flagsmith program: production settings, and these."""
        return {
            **passed_on(),
            "DJANGO_SETTINGS_MODULE": "app.settings.production",
            "DJANGO_ALLOWED_HOSTS": "*",
            "ENABLE_TELEMETRY": "false",
            "LOG_LEVEL": "WARNING",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            **variables,
        }

    def command(self, *arguments: str, python: Path | None = None) -> list[str]:
        """A command line: ``migrate``, ``serve``, ``start task-processor``, or another management command."""
        return [str(python or self.python), "manage.py", *arguments]

    def run(self, *arguments: str, variables: Mapping[str, str], python: Path | None = None) -> str:
        """Run a command line, and return its output."""
        with tempfile.TemporaryDirectory(prefix="flagsmith-") as figures:
            environ = self.environ(**{"PROMETHEUS_MULTIPROC_DIR": figures, **variables})
            return _run(self.command(*arguments, python=python), cwd=self.api, environ=environ)

    def _environment(self, *extras: str) -> Path:
        named = [extra.encode() for extra in extras]
        folder = CACHE / f"environment-{_digest(sys.version.encode(), self._lock.read_bytes(), *named)}"
        with _locked(folder.name):
            if not (folder / "complete").exists():
                print(f"Creating an environment for Flagsmith {self.version}", flush=True)
                self._install(folder, *extras)
                (folder / "complete").touch()
        return folder / "bin" / "python"

    def _environment_with_app(self, python: Path, *extras: str) -> Path:
        wheel = build(Path(tempfile.mkdtemp(dir=CACHE)))
        folder = CACHE / f"environment-with-app-{_digest(str(python).encode(), *_requirements(wheel))}"
        with _locked(folder.name):
            if not (folder / "complete").exists():
                print(f"Creating an environment for Flagsmith {self.version} and this app", flush=True)
                self._install(folder, *extras)
                self._pip(folder, "--constraint", str(folder / "requirements.txt"), f"{wheel}[serve]")
                (folder / "complete").touch()
            self._pip(folder, "--no-deps", "--reinstall", str(wheel))
        shutil.rmtree(wheel.parent)
        return folder / "bin" / "python"

    def _install(self, folder: Path, *extras: str) -> None:
        tools = CACHE / "tools"
        uv = tools / "bin" / "uv"
        if not uv.exists():
            _run([sys.executable, "-m", "venv", str(tools)])
        _run([str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV])
        shutil.rmtree(folder, ignore_errors=True)
        _run([str(uv), "venv", "--quiet", "--python", sys.executable, str(folder)])
        export = [str(uv), "export", "--quiet", "--frozen", "--no-emit-project", "--no-hashes", "--no-annotate"]
        chosen = [f"--extra={extra}" for extra in extras]
        listed = _run([*export, *chosen, "--no-header", "--python", sys.executable], cwd=self.api)
        versions = {package["name"]: package["version"] for package in self._packages() if "version" in package}
        requirements = folder / "requirements.txt"
        requirements.write_text(FROM_REPOSITORY.sub(lambda found: f"{found[1]}=={versions[found[1]]}", listed))
        self._pip(folder, "--no-deps", "-r", str(requirements))

    def _pip(self, folder: Path, *arguments: str) -> None:
        uv, python = CACHE / "tools" / "bin" / "uv", folder / "bin" / "python"
        _run([str(uv), "pip", "install", "--quiet", "--python", str(python), *arguments])

    def _packages(self) -> list[dict[str, str]]:
        packages: list[dict[str, str]] = tomllib.loads(self._lock.read_text())["package"]
        return packages

    def _migrate(self, folder: Path) -> None:
        with PostgreSQL() as server, tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            server.create_database(name=DATABASE)
            self.run("migrate", variables={"DATABASE_URL": server.url(DATABASE)})
            server.save(Path(temporary) / "saved")
            (Path(temporary) / "saved").rename(folder)


def passed_on() -> dict[str, str]:
    """The environment variables that Flagsmith's programs get from this process."""
    return {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}


def _requirements(wheel: Path) -> list[bytes]:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith("/METADATA")]
        return [line for line in opened.read(name).splitlines() if line.startswith(b"Requires-Dist")]


def _digest(*content: bytes) -> str:
    digest = hashlib.sha256()
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()[:16]


@contextmanager
def _locked(name: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        output = (done.stdout + done.stderr)[-5000:]
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{output}")
    return done.stdout
