"""Storage of documents in a directory. Files have mode 0600, because documents contain what only servers may read."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import uuid4

from realtime.relay.document import Stored
from realtime.relay.storage import PROCESS_SECONDS, Found, Held, Storage, StorageError
from realtime.types import EPOCH, EnvironmentKey, UpdatedAt

MODE = 0o600

SUFFIX = ".document"
PROCESS_SUFFIX = ".process"


class Directory(Storage):
    """A file per environment: a line of JSON with the version, and the document.

    Its modification time is the time at which the upstream last had the document.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: dict[EnvironmentKey, tuple[tuple[int, int], UpdatedAt]] = {}
        """The modification times, in nanoseconds, and inodes of the files that were read, and their versions."""

        self._log = directory / "stored.log"
        """A byte for each document that was stored."""

        self._process = directory / f"{uuid4().hex}{PROCESS_SUFFIX}"
        """What this process holds, as JSON."""

        self._held: Held = {}
        """The content of that file."""

    def newer(self, known: Mapping[EnvironmentKey, UpdatedAt]) -> dict[EnvironmentKey, Found]:
        with _storage_errors():
            found = {key: self._find(key, version) for key, version in known.items()}
        return {key: each for key, each in found.items() if each is not None}

    def _find(self, key: EnvironmentKey, version: UpdatedAt) -> Found | None:
        path = self._path(key)
        try:
            identity, seen_version = self._seen.get(key, ((0, 0), EPOCH))
            if version > EPOCH and _identity(path.stat()) == identity:
                return Found(identity[0] / 1e9, seen_version, None)
            with path.open("rb") as file:
                identity = _identity(os.fstat(file.fileno()))
                line = file.readline()
                found = _version(line)
                stored = Stored.decode(line, file.read()) if found > version else None
        except FileNotFoundError:
            return None
        except ValueError:
            # It is replaced by the next document.
            return None
        self._seen[key] = identity, found
        return Found(identity[0] / 1e9, found, stored)

    def store(self, key: EnvironmentKey, stored: Stored) -> None:
        with _storage_errors(), self._lock(key.encode()):
            found = self._find(key, EPOCH)
            if found is not None and found.version >= stored.version:
                return
            _replace(self._path(key), stored.encode())
            descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)
            os.write(descriptor, b".")
            os.close(descriptor)

    is_polled = True

    def number_stored(self) -> int:
        with _storage_errors(), suppress(FileNotFoundError):
            return self._log.stat().st_size
        return 0

    def hold(self, held: Held, *, is_all: bool) -> None:
        now = held if is_all else {**self._held, **held}
        with _storage_errors():
            if now == self._held and self._process.exists():
                os.utime(self._process)
                return
            _replace(self._process, json.dumps(now).encode(), is_durable=False)
            if is_all and now.keys() != self._held.keys():
                kept = set(map(self._path, now))
                for path in self._directory.glob(f"*{SUFFIX}"):
                    if path not in kept:
                        path.unlink(missing_ok=True)
        self._held = now

    def held_by_others(self, keys: Collection[EnvironmentKey]) -> list[Held]:
        with _storage_errors():
            return [self._held_by(path) for path in self._directory.glob(f"*{PROCESS_SUFFIX}") if path != self._process]

    def _held_by(self, path: Path) -> Held:
        """What another process holds. Empty: it has ended."""
        with suppress(FileNotFoundError, ValueError):
            if path.stat().st_mtime > time.time() - PROCESS_SECONDS:
                held: Held = json.loads(path.read_bytes())
                return held
            path.unlink()
        return {}

    def leave(self) -> None:
        with _storage_errors():
            self._process.unlink(missing_ok=True)

    def confirm(self, key: EnvironmentKey, at: float) -> None:
        with _storage_errors(), suppress(FileNotFoundError):
            os.utime(self._path(key), (at, at))

    def claim(self, name: str, seconds: float) -> bool:
        path = self._path(name).with_suffix(".claim")
        with _storage_errors(), self._lock(name.encode()):
            now = time.time()
            with suppress(FileNotFoundError, ValueError):
                expires_at = float(path.read_text())
                # A claim of a clock that was ahead does not last longer than its time.
                if now < expires_at <= now + seconds:
                    return False
            path.write_text(repr(now + seconds))
            return True

    def release(self, name: str) -> None:
        with _storage_errors():
            self._path(name).with_suffix(".claim").unlink(missing_ok=True)

    @contextmanager
    def _lock(self, name: bytes) -> Iterator[None]:
        """A lock of all processes. Names share 16 files."""
        number = hashlib.blake2b(name, digest_size=1).digest()[0] % 16
        descriptor = os.open(self._directory / f"{number}.lock", os.O_RDWR | os.O_CREAT, MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        return self._directory / f"{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}{SUFFIX}"


def _version(line: bytes) -> UpdatedAt:
    """Raises ValueError."""
    header = json.loads(line)
    version = datetime.fromisoformat(str(header.get("version") if isinstance(header, dict) else header))
    if version.tzinfo is None:
        raise ValueError("no time zone")
    return version


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Modification time and inode."""
    return status.st_mtime_ns, status.st_ino


def _replace(path: Path, content: bytes, *, is_durable: bool = True) -> None:
    """Write the file in place of the old one. Other processes read either of them. Durable: it survives a power cut."""
    # Created with mode 0600.
    with NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(str(error)) from error
