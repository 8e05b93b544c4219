"""An unmodified Flagsmith, and a relay in front of it that it posts its versions to.

A forwarder is on each of the two ways, and records the posts, and the relay's requests.
"""

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import cores
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.monolith import Flagsmith, Tasks
from tests.flagsmith.reading import Read
from tests.support.api import AdminAPI, Tenant
from tests.support.forwarder import Forwarder
from tests.support.relay import TOKEN, RelayServer, pairs


class Relayed:
    """A context manager. The relay gets the keys of each tenant by a changed file, and polls too seldom for a test."""

    def __init__(
        self,
        checkout: Checkout,
        tasks: Tasks,
        folder: Path,
        flagsmiths: Mapping[str, str] | None = None,
        **variables: str,
    ) -> None:
        self._tenants: list[Tenant] = []
        self._lock = threading.Lock()
        self.reads = Forwarder()
        """The relay's requests to Flagsmith."""

        self.relay = RelayServer(folder, f"{self.reads.url}/api/v1", configuration=None, **variables)
        self.posts = Forwarder(self.relay.url)
        """Flagsmith's posts to the relay."""

        pointing = {"SSE_SERVER_BASE_URL": self.posts.url, "SSE_AUTHENTICATION_TOKEN": TOKEN}
        self.flagsmith = Flagsmith(checkout, tasks, {**pointing, **(flagsmiths or {})})
        self.reads.target = self.flagsmith.url
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for part in (self.reads, self.posts, self.flagsmith):
                stack.enter_context(part)
            self.api = AdminAPI.registered(self.flagsmith.url)
            stack.callback(self._stop_relay)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._tenants:
            error.add_note(f"The relay's log:\n{self.relay.log[-5000:]}")
        self._stack.__exit__(kind, error, traceback)

    def tenant(self, api: AdminAPI | None = None, relay_on: list[int] | None = None) -> Tenant:
        """A new tenant, whose first environment the relay serves. The first call starts the relay, on these cores."""
        made = self.flagsmith.tenant(api or self.api)
        self.flagsmith.settle()
        with self._lock:
            self._tenants.append(made)
            self.relay.write(environment_key_pairs=pairs(*(each.environment for each in self._tenants)))
            if len(self._tenants) == 1:
                with cores.pinned_to(relay_on or cores.CORES):
                    self.relay.start()
            else:
                self.relay.reload()
        self.relay.process.wait_until(lambda: self._serves(made))
        return made

    def at_relay(self, tenant: Tenant) -> Tenant:
        """The same tenant for readers: its SDK API is the relay's."""
        return replace(tenant, api=AdminAPI(self.relay.url))

    def wait_for_document(self, tenant: Tenant) -> None:
        """Wait until the relay has the content of Flagsmith's document, whose tasks are done.

        The version may be another one: Flagsmith's may go back, and the content may change without it.
        """
        reader = self.at_relay(tenant)
        self.relay.process.wait_until(lambda: _content(Read.of(reader)) == _content(Read.of(tenant)))

    def _serves(self, tenant: Tenant) -> bool:
        return self.relay.request("GET", "flags/", tenant.environment.key).status_code == 200

    def _stop_relay(self) -> None:
        if self._tenants:
            self.relay.stop()


# Flagsmith makes the identifiers of identities with overrides anew for each response.
VOLATILE = {"updated_at", "created_date", "identity_uuid"}


def _content(read: Read) -> Any:
    """The document without its version and without an order of rows."""
    return _unordered(read.document)


def _unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unordered(inner) for name, inner in sorted(value.items()) if name not in VOLATILE}
    return sorted(map(_unordered, value), key=repr) if isinstance(value, list) else value
