"""The image of deploy/Dockerfile, built and run without a Docker daemon: with buildah, as root.

Its base, ``python:3.11-slim``, is replaced by one of the distribution's packages, whose Python may be newer: nothing is
pulled from a registry of images. Packages come from pip's index.
"""

import json
import os
import resource
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support import migrated, programs
from tests.support.processes import Process

BASE = "docker.io/library/python:3.11-slim"
TAG = "flagsmith-realtime"

# Of the base: what python:3.11-slim has too.
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"

# Files by which pip finds its index.
PIP_FILES = ("/etc/ssl/certs", "/etc/pip.conf", "/etc/xdg/pip")


class Image:
    """A context manager: the built image, in a storage of its own that is removed at the end."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("an image can only be built by root")
        self._buildah = str(programs.require("buildah"))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="image-")))
        self._storage = ["--storage-driver=vfs", f"--root={self._folder}/root", f"--runroot={self._folder}/run"]
        self._make_base()
        self.build(programs.ROOT, programs.ROOT / "deploy" / "Dockerfile", TAG)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def build(self, context: Path, file: Path, tag: str) -> None:
        mounts = [f"--volume={path}:{path}:ro" for path in (*PIP_FILES, *_find_links()) if Path(path).exists()]
        options = ["--format=docker", "--pull=never", "--isolation=chroot", "--network=host", *_ulimits(), *mounts]
        self.run("build", *options, f"--file={file}", f"--tag={tag}", str(context))

    def run(self, command: str, *arguments: str) -> str:
        """Run a command of buildah, and return its output."""
        done = subprocess.run(
            [self._buildah, *self._storage, command, *arguments], env=self._environ(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = json.loads(self.run("inspect", "--type=image", TAG))["Docker"]["config"]
        return configuration

    def size(self) -> int:
        """Bytes of the image's files, those of its base included."""
        root = self.run("mount", self.container())
        files = (Path(folder, name).lstat() for folder, _, names in os.walk(root) for name in names)
        return sum({file.st_ino: file.st_size for file in files}.values())

    def container(self) -> str:
        return self.run("from", "--pull=never", *_ulimits(), TAG)

    def start(self, container: str, arguments: list[str], **variables: str) -> Process:
        """Run the entry point with these arguments, as the image's user."""
        entry_point = self.configuration()["Entrypoint"]
        given = [f"--env={name}={value}" for name, value in variables.items()]
        command = ["run", "--isolation=chroot", "--network=host", *given, container, "--", *entry_point, *arguments]
        return Process([self._buildah, *self._storage, *command], environ=self._environ())

    def _environ(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": str(self._folder / "containers.conf")}

    def _make_base(self) -> None:
        limits = ", ".join(f'"{option.partition("=")[2]}"' for option in _ulimits())
        (self._folder / "containers.conf").write_text(f"[containers]\ndefault_ulimits = [{limits}]\n")
        file = self._folder / "Dockerfile"
        file.write_text("FROM scratch\nADD root.tar /\nRUN ln -sf /usr/bin/python3 /usr/local/bin/python\n")
        self.build(migrated.cached("image-base", _bootstrap), file, BASE)


def _bootstrap(folder: Path) -> None:
    folder.mkdir()
    codename = next(
        line.partition("=")[2].strip()
        for line in Path("/etc/os-release").read_text().splitlines()
        if line.startswith("VERSION_CODENAME=")
    )
    command = [str(programs.require("mmdebstrap")), "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
    subprocess.run([*command, codename, str(folder / "root.tar")], check=True, capture_output=True)


def _ulimits() -> list[str]:
    """Limits of this machine: buildah's defaults may be more than it allows."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return [f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={processes}:{processes}"]


def _find_links() -> list[str]:
    """Folders of wheels that pip is configured to use."""
    done = subprocess.run(["pip", "config", "list"], capture_output=True, text=True)
    values = [line.partition("=")[2].strip("'\"") for line in done.stdout.splitlines() if "find-links" in line]
    return [path for value in values for path in value.split() if path.startswith("/")]
