"""Child processes whose output is collected, and which are ended with all their children."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

from tests.support.patience import PATIENCE


class Process:
    """A program in its own process group. Its output is collected by line."""

    def __init__(
        self, command: list[str], *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.command = command
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._is_over = False
        self._process = subprocess.Popen(
            command,
            env=environ,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._collect, name=f"log of {self.pid}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """Its stdout and stderr so far."""
        with self._changed:
            return "\n".join(self.lines)

    def wait_for_log(self, text: str, timeout: float = PATIENCE) -> str:
        """Wait for a line with this text, and return the first one."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"no line with {text!r} in {timeout} s:\n" + "\n".join(self.lines))

    def wait_until(self, ready: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Poll until ``ready`` returns True. An exit of the process, or the timeout, raises with its log."""
        deadline = time.monotonic() + timeout
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.command} is not ready after {timeout} s:\n{self.log}")
            try:
                status = self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            self._reader.join(PATIENCE)
            raise RuntimeError(f"{self.command} ended with status {status}:\n{self.log}")

    def send(self, number: Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        self._process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait until it exits, and return its exit status."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """Kill it with all its children."""
        self._kill_group()
        self._process.wait()
        self._reader.join(PATIENCE)

    def stop(self, timeout: float = PATIENCE) -> int:
        """Terminate it, wait, and kill remaining children. A process that does not exit in time is killed."""
        if self.returncode is None:
            self.send(SIGTERM)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self._kill_group()
        self._reader.join(PATIENCE)
        return self._process.returncode

    def _kill_group(self) -> None:
        """Kill the process group once, since its number may be used again afterwards."""
        if self._is_over:
            return
        self._is_over = True
        with suppress(ProcessLookupError):
            os.killpg(self.pid, SIGKILL)

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()


def accepts_connections(port: int) -> bool:
    """Whether a process listens on this port of the loopback interface."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except OSError:
        return False
    return True
