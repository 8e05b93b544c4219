"""The environments of a relay: their keys, held documents and refreshes.

Versions come from three sources, each of them optional: posts to ``queue-change`` (``host.py``), the upstream's own
streams (``upstream_streams.py``), and polling. A notified version is fetched unconditionally, and the version in the
body counts: a Flagsmith's 304 and header come from an environment that it caches for a minute. While its caches answer
with an older document, the relay asks again. An event goes to the streams once all processes that share the storage
hold a document of its version or a newer one: a client may refetch from any of them. A process that hangs delays it by
``MAX_SHARE_SECONDS``.

**Versions that go back.** Tasks of a Flagsmith write the version after the change is committed: each task the time of
its own change, in any order. So a posted version may never be in a document, and a document with new content may have
an older version than the held one. Therefore a post of an older version starts a fetch as well. An older document is
accepted if it was fetched after a post, has other content and a version that this process has not held, and if the
upstream does not answer with another version for ``SETTLE_SECONDS``: a cache or a replica that lags catches up in that
time. It then gets the newest version that was posted, or one that the relay chooses. Without a post, an older document
is never accepted.

All methods run in the event loop, except for those that read ``held`` only.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, NamedTuple, TypeVar

import structlog

from realtime.bus import eventstream
from realtime.changes import publish
from realtime.conf import conf
from realtime.monitoring import liveness
from realtime.relay import document, relay_metrics
from realtime.relay.configuration import Configuration, KeyPair
from realtime.relay.document import HeldDocument, Stored
from realtime.relay.sharing import Sharing
from realtime.relay.storage import Found, Storage
from realtime.relay.storage_threads import StorageThreads
from realtime.relay.upstream import Upstream, UpstreamError
from realtime.relay.upstream_streams import follow
from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, UpdatedAt
from realtime.waiting import wait_for_event

logger = structlog.get_logger(__name__)

T = TypeVar("T")

# The whole document is fetched at least this often. Other polls may be answered with "not modified".
WHOLE_SECONDS = 55.0

# A notified version that the upstream does not serve yet, or a failed fetch, is tried again after these seconds.
FIRST_RETRY_SECONDS = 0.25
MAX_RETRY_SECONDS = 5.0

# Flagsmith's caches last up to a minute. After this time polling goes on as if the version had not been notified.
GIVE_UP_SECONDS = 150.0

# An older document that is the upstream's answer for so long, after a post, has newer content.
SETTLE_SECONDS = 2.0

# Versions of each environment that are kept to recognize them.
KEPT_VERSIONS = 50

CONCURRENT_FETCHES = 10

# After a start with kept documents.
FIRST_POLLS_PER_SECOND = 100

# A document that the storage has not, and has refused, is offered to it again after this time.
STORE_AGAIN_SECONDS = 5.0

# An event waits at most so long until its document is stored, which takes 2 ms for a file of 50 kB, and until all
# processes hold it.
MAX_SHARE_SECONDS = 1.0

# The interval at which a polled storage is asked for its number of documents: a stat call.
NUMBER_SECONDS = 0.03

# So that one large document does not delay all others.
COMPILERS = 3


class OlderDocument(NamedTuple):
    """A document that is older than the held one, and the loop's time at which it was first received."""

    version: UpdatedAt
    since: float


class Environment:
    """An environment with its keys, and the document that this process holds."""

    def __init__(self, key: EnvironmentKey, server_keys: tuple[str, ...]) -> None:
        self.key = key
        self.server_keys = server_keys
        self.held: HeldDocument | None = None
        self.announced: EnvironmentState | None = None
        """The newest state that streams get."""

        self.confirmed_at = 0.0
        """The time at which the upstream last had this document, in seconds since the epoch. 0: never."""

        self.problem: UpstreamError | None = None
        """The result of the last fetch, if it failed."""

        self.notified: UpdatedAt = EPOCH
        """The newest version that was announced."""

        self.notified_at = -inf
        """The loop's time of the last notification."""

        self.notifications: deque[UpdatedAt] = deque(maxlen=KEPT_VERSIONS)
        """The last versions that were announced, each once."""

        self.has_older_post = False
        """An older version than the held one was posted after the last successful fetch began."""

        self.held_versions: deque[UpdatedAt] = deque(maxlen=KEPT_VERSIONS)
        """The upstream's versions of the last documents that were held."""

        self.older: OlderDocument | None = None
        """The upstream's last answer after a notification, if it was older than the held document."""

        self.whole_at = 0.0
        """The loop's time of the last complete answer."""

        self.not_before = 0.0
        """The loop's time before which the upstream wants no request (``Retry-After``)."""

        self.wake = asyncio.Event()
        self.first_answer = asyncio.Event()
        """Set after the first fetch, also a failed one."""

        self.recovered = asyncio.Event()
        """Set when a fetch succeeds after a failed one."""

        self.tasks: list[asyncio.Task[None]] = []
        self.key_index = 0
        """Of the server-side key that is used: a rejected one is followed by the next."""

    @property
    def source_version(self) -> UpdatedAt:
        return self.held.stored.source_version if self.held is not None else EPOCH

    @property
    def is_behind(self) -> bool:
        """A newer version was announced."""
        return self.notified > self.source_version

    @property
    def server_key(self) -> str:
        return self.server_keys[self.key_index % len(self.server_keys)]


class Environments:
    """All environments of a relay's process."""

    def __init__(self, configuration: Configuration, upstream: Upstream, storage: Storage) -> None:
        self.configuration = configuration
        self.upstream = upstream
        self.by_key: dict[str, tuple[Environment, bool]] = {}
        """By client-side and server-side keys: the environment, and whether the key is server-side."""

        self.by_client_key: dict[EnvironmentKey, Environment] = {}
        self._storage = storage
        self._loop = asyncio.get_running_loop()
        self._always_streams = configuration.streaming == "always"
        self._compiling = ThreadPoolExecutor(COMPILERS, thread_name_prefix="relay-compiler")
        self._in_storage = StorageThreads(storage)
        self._sharing = Sharing(storage, self._in_storage, lambda: _held_versions(self.by_client_key.values()))
        self._fetching = asyncio.Semaphore(CONCURRENT_FETCHES)
        self._store_again_at = 0.0
        self._reported: set[EnvironmentKey] = set()
        """The environments whose documents may have been stored by another process, by messages of the bus."""

        self._look = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_started = False
        self._part = liveness.current().part("relay", lambda: conf.RECONCILE_SECONDS)
        eventstream.environment_received.connect(self._received_from_bus)
        self.set_pairs(configuration.environment_key_pairs)

    # Keys

    def set_pairs(self, pairs: Iterable[KeyPair]) -> None:
        """Add, remove and replace environments. Those whose keys are unchanged continue without interruption."""
        server_keys: dict[EnvironmentKey, list[str]] = {}
        for pair in pairs:
            server_keys.setdefault(EnvironmentKey(pair.client_side_key), []).append(pair.server_side_key)
        for key in self.by_client_key.keys() - server_keys.keys():
            for task in self.by_client_key.pop(key).tasks:
                task.cancel()
        for key, keys in server_keys.items():
            environment = self.by_client_key.get(key)
            if environment is None:
                self.by_client_key[key] = Environment(key, tuple(keys))
            elif environment.server_keys != tuple(keys):
                environment.server_keys, environment.key_index = tuple(keys), 0
                environment.whole_at = 0.0
                environment.wake.set()
        by_key: dict[str, tuple[Environment, bool]] = {}
        for environment in self.by_client_key.values():
            by_key[environment.key] = environment, False
            by_key.update(dict.fromkeys(environment.server_keys, (environment, True)))
        self.by_key = by_key
        if self._has_started:
            self._start_new()

    # Start and stop

    async def start(self) -> None:
        """Load the stored documents, and fetch those that are missing, for as long as one fetch may take."""
        # Registered first: a process that stores a document from now on waits for this one.
        await self._sharing.round()
        await self._look_in_storage()
        missing = [environment for environment in self.by_client_key.values() if environment.held is None]
        self._spawn(self._sharing.run())
        self._spawn(self._watch())
        self._has_started = True
        self._start_new()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._max_fetch_seconds() + 0.5):
                for environment in missing:
                    await environment.first_answer.wait()

    def _start_new(self) -> None:
        for environment in self.by_client_key.values():
            if not environment.tasks:
                work = [self._refresh_for_ever(environment)]
                if self.configuration.upstream_realtime_urls:
                    work.append(follow(self.upstream, environment.key, self.notify, self.wait_for_recovery))
                environment.tasks = [self._spawn(each) for each in work]

    async def close(self) -> None:
        eventstream.environment_received.disconnect(self._received_from_bus)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._in_storage(self._storage.leave)
        self._part.rest()
        self._compiling.shutdown(wait=False, cancel_futures=True)
        self._in_storage.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it in a task, which ``close`` cancels."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Notifications

    def notify(self, key: EnvironmentKey, version: UpdatedAt, source: str) -> None:
        """Fetch a document of this version or a newer one, if none is held.

        A post of an older version, unless it was announced before, starts one fetch: see "Versions that go back".
        """
        environment = self.by_client_key.get(key)
        if environment is None or version in environment.notifications or version == environment.source_version:
            return
        if version < environment.source_version:
            if source != "post":
                return
            environment.has_older_post = True
        environment.notifications.append(version)
        environment.notified = max(environment.notified, version)
        environment.notified_at = self._loop.time()
        relay_metrics.notifications[source].add()
        environment.wake.set()

    def notify_threadsafe(self, versions: Iterable[tuple[EnvironmentKey, UpdatedAt]], source: str) -> None:
        """``notify`` from any thread."""
        for key, version in versions:
            self._call_in_loop(self.notify, key, version, source)

    def _call_in_loop(self, function: Callable[..., object], *args: object) -> None:
        # The loop may be closed.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)

    async def wait_for_recovery(self, key: EnvironmentKey, seconds: float) -> None:
        """Wait until a fetch of this environment succeeds after a failed one, or until the time has passed."""
        environment = self.by_client_key[key]
        environment.recovered.clear()
        await wait_for_event(environment.recovered, seconds)

    def _received_from_bus(self, key: EnvironmentKey, **kwargs: object) -> None:
        """Another process may have a newer document."""
        if key in self.by_client_key:
            self._call_in_loop(self._report, key)

    def _report(self, key: EnvironmentKey) -> None:
        self._reported.add(key)
        self._look.set()

    # Refresh

    async def _refresh_for_ever(self, environment: Environment) -> None:
        failures = 0
        # So that many environments are not fetched in step.
        spread = min(1.0, len(self.by_client_key) / FIRST_POLLS_PER_SECOND)
        delay = 0.0 if environment.held is None else spread * random.random()  # noqa: S311
        while True:
            if failures:
                # However many versions are announced.
                pause = max(FIRST_RETRY_SECONDS, environment.not_before - self._loop.time())
                await asyncio.sleep(pause)
                delay -= pause
            await wait_for_event(environment.wake, max(0.0, delay))
            environment.wake.clear()
            try:
                succeeded = await self._refresh(environment)
            except Exception:
                logger.exception("relay_refresh_failed", environment=environment.key)
                succeeded = False
            environment.first_answer.set()
            failures = 0 if succeeded and not self._must_retry(environment) else failures + 1
            delay = self._delay(environment, failures)

    async def _refresh(self, environment: Environment) -> bool:
        """Fetch the document, unless another process does. Returns False if that fails."""
        behind = self._must_retry(environment)
        if environment.is_behind:
            await self._find([environment])
            if not environment.is_behind:
                return True
        configuration = self.configuration
        if behind:
            name, seconds = f"{environment.key} fetch", self._max_fetch_seconds() + 1.0
        else:
            name, seconds = f"{environment.key} poll", 0.9 * configuration.api_poll_frequency_seconds
        # Each process fetches once at its start, and without the storage always.
        if environment.whole_at and await self._in_storage(self._storage.claim, name, seconds) is False:
            return True
        succeeded = False
        try:
            async with self._fetching:
                succeeded = await self._fetch(environment, conditional=not behind)
        finally:
            if behind or not succeeded:
                await self._in_storage(self._storage.release, name)
        return succeeded

    async def _fetch(self, environment: Environment, conditional: bool) -> bool:
        now, held = self._loop.time(), environment.held
        had_older_post, environment.has_older_post = environment.has_older_post, False
        is_due = now > environment.whole_at + WHOLE_SECONDS or not environment.whole_at
        newer_than = environment.source_version if conditional and held is not None and not is_due else None
        if newer_than == EPOCH:
            newer_than = None
        fetched = None
        try:
            fetched = await self.upstream.document(environment.server_key, newer_than)
            if fetched.body is None:
                result = "not_modified"
            else:
                result = await self._receive(environment, fetched.body)
                environment.whole_at = now
        except UpstreamError as error:
            self._fail(environment, error)
            if error.result == "older":
                return True
            environment.has_older_post |= had_older_post
            if fetched is not None:
                self.upstream.apis.failed(fetched.url)
            if error.result == "unauthorized":
                environment.key_index += 1
            environment.not_before = now + error.retry_after
            return False
        relay_metrics.fetches[result].add()
        if environment.problem is not None:
            logger.info("upstream_recovered", client_side_key=environment.key)
            environment.recovered.set()
        environment.problem = None
        environment.confirmed_at = time.time()
        if result != "changed":
            await self._in_storage(self._storage.confirm, environment.key, environment.confirmed_at)
        return True

    async def _receive(self, environment: Environment, body: bytes) -> str:
        held = environment.held
        receive = partial(document.receive, environment.key, body, held, always_streams=self._always_streams)
        try:
            received = await self._compile(receive)
        except UpstreamError as error:
            if error.result != "older" or not self._has_settled(environment, error.version):
                raise
            at_least = max(environment.notified, environment.source_version)
            received = await self._compile(partial(receive, at_least=at_least))
        environment.older = None
        if received is None:
            return "unchanged"
        if not self._install(environment, received):
            return "older"
        storing = self._spawn(self._store(received))
        self._spawn(self._announce(environment, received, storing))
        # The claim of this version lasts until then.
        await asyncio.wait([storing])
        return "changed"

    async def _store(self, received: HeldDocument) -> None:
        """Store a document that was fetched, and report it to the other processes."""
        await self._in_storage(self._storage.store, received.key, received.stored)
        publish.publish_to_processes([received.state], include_closed=True)

    async def _announce(
        self, environment: Environment, held: HeldDocument, storing: asyncio.Task[None] | None = None
    ) -> None:
        """Deliver the version of a document once it is stored and all processes hold it.

        ``storing``: this process has fetched it. If the process is killed after the event, it starts with the document.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_SHARE_SECONDS):
                if storing is not None:
                    await asyncio.wait([storing])
                await self._sharing.all_hold(held.key, held.version)
        before = environment.announced
        if self.by_client_key.get(environment.key) is environment and (
            before is None or held.version >= before.updated_at
        ):
            environment.announced = held.state
            publish.publish_here([held.state])
            if storing is not None:
                publish.publish_to_grip([held.state])

    def _has_settled(self, environment: Environment, version: UpdatedAt) -> bool:
        """Return whether the version of the upstream went back to this one, as far as its answers show."""
        now = self._loop.time()
        if now > environment.notified_at + GIVE_UP_SECONDS:
            environment.older = None
            return False
        if environment.older is None or environment.older.version != version:
            environment.older = OlderDocument(version, now)
        return version not in environment.held_versions and now >= environment.older.since + SETTLE_SECONDS

    def _install(self, environment: Environment, received: HeldDocument) -> bool:
        """Hold this document, unless a newer one is held."""
        held = environment.held
        if held is not None and (
            received.version <= held.version
            # A process whose clock is ahead has chosen the version.
            or received.stored.source_version < held.stored.source_version
        ):
            return False
        environment.held = received
        if environment.announced is None:
            environment.announced = received.state
        environment.held_versions.append(received.stored.source_version)
        return True

    def _fail(self, environment: Environment, error: UpstreamError) -> None:
        relay_metrics.fetches[error.result].add()
        before, environment.problem = environment.problem, error
        if before is None or before.result != error.result:
            key, result = environment.key, error.result
            logger.warning("error_fetching_document", client_side_key=key, result=result, reason=str(error))

    def _must_retry(self, environment: Environment) -> bool:
        """The upstream has to be asked for a version that was announced."""
        is_open = environment.is_behind or environment.has_older_post or environment.older is not None
        return is_open and self._loop.time() < environment.notified_at + GIVE_UP_SECONDS

    def _max_fetch_seconds(self) -> float:
        """The timeouts of all URLs."""
        return float(self.configuration.api_poll_timeout_seconds * len(self.configuration.api_urls))

    def _delay(self, environment: Environment, failures: int) -> float:
        frequency = float(self.configuration.api_poll_frequency_seconds)
        if not failures:
            return frequency * random.uniform(0.9, 1.0)  # noqa: S311
        limit = min(MAX_RETRY_SECONDS, frequency) if self._must_retry(environment) else frequency
        return min(limit, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10)) * random.uniform(0.8, 1.0)  # noqa: S311

    # Storage

    async def _watch(self) -> None:
        """Look for documents that other processes have stored: for those that the bus reports, and for all of them if
        their number has changed, and about once a second, until the task is cancelled.
        """
        all_at, number = self._loop.time(), None
        while True:
            self._part.progress()
            seconds = all_at - self._loop.time()
            await wait_for_event(
                self._look, max(0.0, min(seconds, NUMBER_SECONDS) if self._storage.is_polled else seconds)
            )
            self._look.clear()
            if self._loop.time() >= all_at:
                all_at = self._loop.time() + conf.RECONCILE_SECONDS
                await self._look_in_storage()
            if self._storage.is_polled:
                before, number = number, await self._in_storage(self._storage.number_stored)
                if number != before:
                    self._reported.update(self.by_client_key)
            reported, self._reported = self._reported, set()
            if reported:
                await self._find(filter(None, map(self.by_client_key.get, reported)))

    async def _look_in_storage(self) -> None:
        # Written as well: a full disk can be read.
        if self._in_storage.failures.is_failing and not await self._in_storage.probe():
            return
        all_found = await self._find(self.by_client_key.values())
        if all_found is None or self._loop.time() < self._store_again_at:
            return
        for environment in list(self.by_client_key.values()):
            held, found = environment.held, all_found.get(environment.key)
            # It could not be stored before, or the storage has lost it.
            if held is not None and (found is None or found.version < held.version):
                await self._in_storage(self._storage.store, environment.key, held.stored)
                if self._in_storage.failures.is_failing:
                    self._store_again_at = self._loop.time() + STORE_AGAIN_SECONDS
                    return

    async def _find(self, environments: Iterable[Environment]) -> dict[EnvironmentKey, Found] | None:
        """Hold the newer documents of these environments in the storage. Returns what is there; None if it fails."""
        known = _held_versions(environments)
        found = await self._in_storage(self._storage.newer, known)
        if found is not None:
            newer: list[Coroutine[Any, Any, None]] = []
            for key, each in found.items():
                if (environment := self.by_client_key.get(key)) is None:
                    continue
                if each.stored is not None:
                    newer.append(self._accept_found(environment, each.stored, each.confirmed_at))
                else:
                    environment.confirmed_at = max(environment.confirmed_at, each.confirmed_at)
            await asyncio.gather(*newer)
        return found

    async def _accept_found(self, environment: Environment, stored: Stored, confirmed_at: float) -> None:
        """Hold a document that another process has fetched, if it is newer."""
        restore = partial(document.restore, environment.key, stored, always_streams=self._always_streams)
        try:
            restored = await self._compile(restore)
        except UpstreamError as error:
            logger.warning("stored_document_refused", environment=environment.key, reason=str(error))
            return
        if self._install(environment, restored):
            self._spawn(self._announce(environment, restored))
        environment.confirmed_at = max(environment.confirmed_at, confirmed_at)
        self._part.progress()

    async def _compile(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._compiling, work)


def _held_versions(environments: Iterable[Environment]) -> dict[EnvironmentKey, UpdatedAt]:
    """1970 for those without a document."""
    return {each.key: each.held.version if each.held is not None else EPOCH for each in environments}


_current: Environments | None = None


def current() -> Environments | None:
    """The environments of this process; None before the start and after the end."""
    return _current


def use(environments: Environments | None) -> None:
    """Set the environments of this process."""
    global _current
    _current = environments
