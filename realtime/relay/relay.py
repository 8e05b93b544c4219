"""The relay of one process: starts and stops its parts, and applies a changed configuration."""

import asyncio
import signal
from pathlib import Path

import structlog
from channels.db import database_sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from realtime import hosts, redis_clients, runtime
from realtime.relay import configuration, environments, health
from realtime.relay.api import API
from realtime.relay.configuration import Configuration
from realtime.relay.directory import Directory
from realtime.relay.environments import Environments
from realtime.relay.evaluator import Evaluator
from realtime.relay.redis_storage import RedisStorage
from realtime.relay.responding import Origins
from realtime.relay.storage import Storage
from realtime.relay.traits import TraitForwarder
from realtime.relay.upstream import Upstream
from realtime.relay.usage import Usage
from realtime.serving import health as serving_health
from realtime.waiting import wait_for_event

logger = structlog.get_logger(__name__)

# The interval at which the configuration's file is looked at.
FILE_CHECK_SECONDS = 1.0

# Settings whose change needs no restart.
APPLIED = ("environment_key_pairs", "endpoint_caches")


class Relay:
    """All parts of a relay's process. Must be made in the event loop, whose runtime closes them."""

    def __init__(self, settings: Configuration) -> None:
        self._settings = settings
        on_close = runtime.current().on_close
        upstream = Upstream(settings)
        on_close(upstream.close)
        forwarder = TraitForwarder(upstream) if settings.traits == "forward" else None
        if forwarder is not None:
            on_close(forwarder.close)
        usage = Usage(upstream)
        on_close(usage.close)
        self.environments = Environments(settings, upstream, storage())
        on_close(self.environments.close)
        self.api = API(self.environments, Origins(settings.allow_origins), Evaluator(), usage, forwarder)
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Load and fetch documents, and connect to the upstream's streams."""
        environments.use(self.environments)
        serving_health.parts["documents"] = health.documents
        watching = asyncio.create_task(self._watch_configuration())

        async def close() -> None:
            watching.cancel()
            environments.use(None)
            serving_health.parts.pop("documents", None)

        runtime.current().on_close(close)
        await self.environments.start()
        await self._notify_posted_versions()

    async def _notify_posted_versions(self) -> None:
        """Versions that were posted before, and may not have been fetched."""
        keys = list(self.environments.by_client_key)
        try:
            for key, version in (await database_sync_to_async(hosts.current().posted.read)(keys)).items():
                if version > self.environments.by_client_key[key].source_version:
                    self.environments.notify(key, version, "post")
        except Exception as error:
            logger.warning("posted_versions_unreadable", error=repr(error))

    async def _watch_configuration(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._changed.set)
        seen = _identity(configuration.path())
        while True:
            await wait_for_event(self._changed, FILE_CHECK_SECONDS)
            found = _identity(configuration.path())
            if found != seen or self._changed.is_set():
                self._changed.clear()
                seen = found
                self._reload()

    def _reload(self) -> None:
        """Apply the keys of the changed configuration."""
        try:
            changed = configuration.load()
        except ImproperlyConfigured as error:
            logger.error("configuration_invalid", reason=str(error), remedy="The previous one stays in effect.")
            return
        before = self._settings
        self.environments.set_pairs(changed.environment_key_pairs)
        others = [
            name for name, value in vars(changed).items() if name not in APPLIED and value != getattr(before, name)
        ]
        logger.info("configuration_read", environments=len(self.environments.by_client_key))
        if others:
            logger.warning("configuration_needs_restart", settings=", ".join(others))


def storage() -> Storage:
    """The storage of documents that the settings name."""
    if hasattr(settings, redis_clients.SETTING):
        return RedisStorage()
    return Directory(configuration.state_directory())


def _identity(file: Path) -> tuple[int, ...]:
    """Differs after each change of the file."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


_current: Relay | None = None


def api() -> API | None:
    """The API of this process; None before the start."""
    return _current.api if _current is not None else None


async def start() -> None:
    """Start the relay of this process, which the runtime closes."""
    global _current
    relay = Relay(configuration.current())
    await relay.start()
    runtime.current().on_close(_forget)
    _current = relay


async def _forget() -> None:
    global _current
    _current = None
