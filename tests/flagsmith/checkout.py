"""A checkout of Flagsmith: its own environment with what its lock file names, and a database that it has migrated.

Both take minutes and are kept in ``var/flagsmith``, by what they were made from. Nothing is written to the checkout.
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

KEPT = programs.ROOT / "var" / "flagsmith"

UV = "uv==0.13.9"

DATABASE = "flagsmith"

# What the checkout calls the packages that its tests need.
DEVELOPMENT = "dev"

# A package that the lock file takes from a repository is taken from the index, in the version that the lock names.
FROM_REPOSITORY = re.compile(r"^(?P<name>[\w.-]+) @ git\+.*$", re.MULTILINE)

# What of our surroundings a program needs that is not to be configured by them.
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "PIP_", "UV_", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class NoCheckoutError(Exception):
    """The folder holds no Flagsmith."""


class Checkout:
    """Flagsmith's sources in this folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.api = self.folder / "api"
        self._lock = self.api / "uv.lock"
        if not (self.api / "manage.py").is_file() or not self._lock.is_file():
            raise NoCheckoutError(f"{folder} is no checkout of Flagsmith: it has no api/manage.py and api/uv.lock")

    @cached_property
    def version(self) -> str:
        """The release, such as 2.265.0."""
        return str(json.loads((self.folder / ".release-please-manifest.json").read_text())["."])

    @cached_property
    def python(self) -> Path:
        """The Python of an environment with exactly the packages that the lock file names."""
        return self._environment()

    @cached_property
    def python_with_app(self) -> Path:
        """The same with our wheel installed, as it is now. What it brings along fits what the lock file names."""
        return self._environment_with_app(self.python)

    @cached_property
    def python_for_tests(self) -> Path:
        """As ``python``, with what Flagsmith's own tests need."""
        return self._environment(DEVELOPMENT)

    @cached_property
    def python_for_tests_with_app(self) -> Path:
        """As ``python_with_app``, with what Flagsmith's own tests need."""
        return self._environment_with_app(self.python_for_tests, DEVELOPMENT)

    @cached_property
    def cluster(self) -> Path:
        """A saved PostgreSQL whose database ``flagsmith`` has all tables and no rows of a user."""
        files = sorted(self.api.glob("**/migrations/*.py"))
        content = [str(path.relative_to(self.api)).encode() + path.read_bytes() for path in files]
        digest = _digest(postgresql_version().encode(), self._lock.read_bytes(), *content)
        place = KEPT / f"database-{digest}"
        with _locked(place.name):
            if not place.exists():
                print(f"Migrating a database of Flagsmith {self.version}: two minutes or three", flush=True)
                self._migrate(place)
        return place

    def environ(self, **variables: str) -> dict[str, str]:
        """What one of Flagsmith's programs finds as its environment: production's settings, and these."""
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
        """Its command line: ``migrate``, ``serve``, ``start task-processor``, or one of Django's."""
        return [str(python or self.python), "manage.py", *arguments]

    def run(self, *arguments: str, variables: Mapping[str, str], python: Path | None = None) -> str:
        """Run that to its end, and return what it prints."""
        with tempfile.TemporaryDirectory(prefix="flagsmith-") as figures:
            environ = self.environ(**{"PROMETHEUS_MULTIPROC_DIR": figures, **variables})
            return _run(self.command(*arguments, python=python), cwd=self.api, environ=environ)

    def _environment(self, *extras: str) -> Path:
        named = [extra.encode() for extra in extras]
        place = KEPT / f"environment-{_digest(sys.version.encode(), self._lock.read_bytes(), *named)}"
        with _locked(place.name):
            if not (place / "complete").exists():
                print(f"Making an environment for Flagsmith {self.version}", flush=True)
                self._install(place, *extras)
                (place / "complete").touch()
        return place / "bin" / "python"

    def _environment_with_app(self, python: Path, *extras: str) -> Path:
        wheel = build(Path(tempfile.mkdtemp(dir=KEPT)))
        place = KEPT / f"environment-with-app-{_digest(str(python).encode(), *_requirements(wheel))}"
        with _locked(place.name):
            if not (place / "complete").exists():
                print(f"Making an environment for Flagsmith {self.version} and this app", flush=True)
                self._install(place, *extras)
                self._pip(place, "--constraint", str(place / "requirements.txt"), f"{wheel}[serve]")
                (place / "complete").touch()
            self._pip(place, "--no-deps", "--reinstall", str(wheel))
        shutil.rmtree(wheel.parent)
        return place / "bin" / "python"

    def _install(self, place: Path, *extras: str) -> None:
        tools = KEPT / "tools"
        uv = tools / "bin" / "uv"
        if not uv.exists():
            _run([sys.executable, "-m", "venv", str(tools)])
        _run([str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV])
        shutil.rmtree(place, ignore_errors=True)
        _run([str(uv), "venv", "--quiet", "--python", sys.executable, str(place)])
        export = [str(uv), "export", "--quiet", "--frozen", "--no-emit-project", "--no-hashes", "--no-annotate"]
        chosen = [f"--extra={extra}" for extra in extras]
        listed = _run([*export, *chosen, "--no-header", "--python", sys.executable], cwd=self.api)
        versions = {package["name"]: package["version"] for package in self._packages() if "version" in package}
        requirements = place / "requirements.txt"
        requirements.write_text(FROM_REPOSITORY.sub(lambda found: f"{found[1]}=={versions[found[1]]}", listed))
        self._pip(place, "--no-deps", "-r", str(requirements))

    def _pip(self, place: Path, *arguments: str) -> None:
        uv, python = KEPT / "tools" / "bin" / "uv", place / "bin" / "python"
        _run([str(uv), "pip", "install", "--quiet", "--python", str(python), *arguments])

    def _packages(self) -> list[dict[str, str]]:
        packages: list[dict[str, str]] = tomllib.loads(self._lock.read_text())["package"]
        return packages

    def _migrate(self, place: Path) -> None:
        with PostgreSQL() as server, tempfile.TemporaryDirectory(dir=KEPT) as folder:
            server.create_database(name=DATABASE)
            self.run("migrate", variables={"DATABASE_URL": server.url(DATABASE)})
            server.save(Path(folder) / "saved")
            (Path(folder) / "saved").rename(place)


def passed_on() -> dict[str, str]:
    """Of our own environment variables, what any of Flagsmith's programs gets."""
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
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-5000:]
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{said}")
    return done.stdout
