"""Storage of environments: the only module that reads and writes environments' versions and gates.

``REALTIME_HOST`` names the host of the process. ``HOSTS`` lists all of them: a further kind of host is a subclass of
``Host`` and a line there. Each also keeps the versions that external publishers post, for keys that its own
environments do not have, in the store that ``REALTIME_STORE`` names.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, ClassVar

from django.apps import apps
from django.core.signals import setting_changed
from django.db import router, transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Greatest
from django.dispatch import receiver
from django.utils import timezone
from django.utils.module_loading import import_string

from realtime import prepared
from realtime.conf import conf
from realtime.monitoring import metrics
from realtime.types import TICK, EnvironmentID, EnvironmentKey, EnvironmentState, UpdatedAt, first_readable

Versions = dict[EnvironmentKey, UpdatedAt]

# What makes a host and a store, as dotted paths: those that are not chosen may need packages that are not installed.
HOSTS = {
    "embedded": "realtime.hosts.EmbeddedHost",
    "detached": "realtime.hosts.Host",
    "flagsmith": "realtime.flagsmith.host.of_mode",
    "relay": "realtime.relay.host.RelayHost",
}
STORES = {
    "database": "realtime.posted_versions.sql.SQLStore",
    "redis": "realtime.posted_versions.redis.RedisStore",
}

MAX_KEY_LENGTH = 100


class StoreError(Exception):
    """The store cannot be read or written. The message names the cause."""


@dataclass(frozen=True)
class StoreHealth:
    """The state of a store that is not the database, as this process last found it."""

    name: str
    has_been_read: bool
    is_available: bool
    since: datetime
    """The time when ``is_available`` got its value."""
    last_error: str = ""
    """May contain host names: for the log only."""


class VersionStore(ABC):
    """Keeps the greatest posted version of each environment. All methods may be called in any thread, and wait for it.

    Whichever process stores a version, the greatest one wins.
    """

    is_read_without_streams: ClassVar[bool] = False
    """``changed_since`` has to be called regularly, also while no stream is open."""

    @abstractmethod
    def read(self, keys: Collection[EnvironmentKey]) -> Versions:
        """The versions of these environments. Unknown keys are left out."""

    @abstractmethod
    def changed_since(self, moment: datetime) -> Versions:
        """The versions of the environments for which a newer one was stored after this moment."""

    @abstractmethod
    def store_newer(self, versions: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentKey]:
        """Store these versions, except those that are not later than the stored one. Returns the keys of the others.

        When it returns, other processes read them.
        """

    def health(self) -> StoreHealth | None:
        """None: the store is the database, whose state is known elsewhere."""
        return None


class Host:
    """Environments of external publishers only: those for which a version was posted. The other hosts extend it."""

    owns_models = False
    """The models of environments and their database are the project's own: receivers raise the versions of changed
    rows, and the inspector may write there."""

    raises_in_flagsmith = False
    """The project is a real Flagsmith, and this app raises its versions in its processes."""

    lists_environments = False
    """No version can be posted for a key that is unknown now."""

    stops_without_streams = True
    """A server without streams stops at once at SIGTERM, as those do in whose place it runs. Others wait, because
    proxies may still send requests."""

    gate_is_versioned = True
    """A change of the gate raises the version, too."""

    serves_committed_versions = True
    """Once a version is committed, no process serves an older one. So this process's own events need no read."""

    def __init__(self) -> None:
        self.posted: VersionStore = import_string(STORES.get(conf.STORE, STORES["database"]))()

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        """The current state of each of these environments. Unknown keys are left out."""
        keys = list(filter(is_valid_key, keys))
        own = self._own(keys)
        others = [key for key in keys if key not in own]
        posted = self.posted.read(others) if others else {}
        return {**_known(own), **{key: EnvironmentState(key, version, True) for key, version in posted.items()}}

    def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        """The states of the environments that changed after this moment, by the clock of the server that wrote them."""
        posted = self.posted.changed_since(moment)
        own = self._own(posted) if posted else {}
        return [EnvironmentState(key, version, True) for key, version in posted.items() if key not in own]

    def accept_posted(self, times: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentState]:
        """Store the versions that external publishers have posted, and return the states to publish.

        The host's own environments keep their versions: their current states are published.
        """
        own = self._own(times)
        stored = self.posted.store_newer({key: time for key, time in times.items() if key not in own})
        return [*_known(own).values(), *(EnvironmentState(key, times[key], True) for key in stored)]

    def _own(self, keys: Collection[EnvironmentKey]) -> Mapping[EnvironmentKey, EnvironmentState | None]:
        """The host's own environments of these keys, which overrule what was posted, with their current states.

        None: the environment cannot be served yet.
        """
        return {}

    def committed_states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        """``states``, read from the database for writes: a replica may lag."""
        return self.states(keys)

    def is_in(self, using: str) -> bool:
        """Return True if environments are written to the database of this alias."""
        return False

    def versions(self, ids: Iterable[EnvironmentID]) -> dict[EnvironmentID, Any]:
        """Opaque versions of these environments, which silent changes raise too. Only for comparison by equality."""
        return {}

    def newest(self, read: EnvironmentState | None, received: EnvironmentState) -> EnvironmentState | None:
        """The state to deliver after another process has announced ``received`` and this process has read ``read``.

        Detached servers may have separate databases, so the received state may be newer than the one read here.
        """
        if read is None or read.updated_at <= received.updated_at:
            return received._replace(
                streaming_enabled=received.streaming_enabled if read is None else read.streaming_enabled
            )
        return read

    def lock(self, ids: Iterable[EnvironmentID], exclusive: bool = False) -> dict[EnvironmentID, UpdatedAt]:
        return {}

    def raise_versions(self, ids: Iterable[EnvironmentID], silent: bool) -> dict[EnvironmentID, EnvironmentState]:
        return {}

    def count_announced(self) -> None:
        """Count a version that is delivered after an event has announced it."""

    def count_found(self) -> bool:
        """Count a version that is delivered because the reconcile has found it. True: the bus has lost its event."""
        metrics.healed.add()
        return True


class EmbeddedHost(Host):
    """Environments of a model of this project, with a key, an ``updated_at``, optionally a ``revision`` and a
    ``last_modified``, and related to it the project's switch and the organisation's plan.
    """

    owns_models = True
    lists_environments = True
    stops_without_streams = False

    def committed_states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        environments = self.environments.using(router.db_for_write(self.environments.model))
        return {state.key: state for state in self._read(environments.filter(api_key__in=list(keys))).values()}

    def is_in(self, using: str) -> bool:
        return bool(using == router.db_for_write(self.environments.model))

    def versions(self, ids: Iterable[EnvironmentID]) -> dict[EnvironmentID, Any]:
        environments = self.environments.using(router.db_for_write(self.environments.model)).filter(pk__in=ids)
        fields = ["pk", "updated_at", *self._counted(timezone.now())]
        return {row[0]: row[1:] for row in environments.order_by().values_list(*fields)}

    def newest(self, read: EnvironmentState | None, received: EnvironmentState) -> EnvironmentState | None:
        """The state that was read: all processes share the database, and the API serves what it holds."""
        return read

    @property
    def environments(self) -> QuerySet[Any]:
        environments: QuerySet[Any] = apps.get_model(conf.ENVIRONMENT_MODEL)._base_manager.all()
        return environments

    def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        # Without ``order_by()`` the model's default ordering makes SQLite scan the table instead of using the index.
        changed = self._read(self.environments.filter(updated_at__gt=moment).order_by())
        return [*changed.values(), *super().changed_since(moment)]

    def _own(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState | None]:
        return {state.key: state for state in self._states(keys).values()}

    def _states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentID, EnvironmentState]:
        if len(keys) != 1:
            return self._read(self.environments.filter(api_key__in=list(keys)))
        using = router.db_for_read(self.environments.model)
        return self._of_rows(prepared.rows(self._query, using, next(iter(keys))))

    def _query(self, key: EnvironmentKey) -> Any:
        return self._rows(self.environments.filter(api_key=key))

    def lock(self, ids: Iterable[EnvironmentID], exclusive: bool = False) -> dict[EnvironmentID, UpdatedAt]:
        """Lock these environments until the end of the transaction, in the order of their primary keys.

        Rows that refer to an environment can still be inserted (FOR NO KEY UPDATE), unless the lock is ``exclusive``.
        """
        rows = self.environments.filter(pk__in=ids).order_by("pk").select_for_update(no_key=not exclusive)
        return dict(rows.values_list("pk", "updated_at"))

    def raise_versions(self, ids: Iterable[EnvironmentID], silent: bool) -> dict[EnvironmentID, EnvironmentState]:
        """Raise the versions of these environments and return their new states; an empty dict if ``silent``.

        The new ``updated_at`` is the clock's time. If the clock lags, it is 1 µs more than the old version. Then it is
        moved to the next microsecond that no SDK reads as newer than itself (``first_readable``). It is not the
        database's ``now()``, the start of the transaction: a transaction that began earlier may commit later.

        The lock is held until the commit, so versions increase in commit order. The gate is read after the lock is
        taken, so it includes what the previous transaction changed. Everything uses the database for writes, because a
        replica may lag. That database may differ from the one whose rows changed, so a transaction is opened on it.
        """
        using = router.db_for_write(self.environments.model)
        with transaction.atomic(using=using, savepoint=False):
            return self._raise(self.environments.using(using), self.lock(ids), silent)

    def _raise(
        self, environments: "QuerySet[Any]", locked: dict[EnvironmentID, UpdatedAt], silent: bool
    ) -> dict[EnvironmentID, EnvironmentState]:
        now = timezone.now()
        if silent:
            if counted := self._counted(now):
                environments.filter(pk__in=locked).update(**counted)
            return {}
        by_value: dict[UpdatedAt, list[EnvironmentID]] = {}
        for pk, updated_at in locked.items():
            by_value.setdefault(first_readable(max(now, updated_at + TICK)), []).append(pk)
        for value, pks in by_value.items():
            environments.filter(pk__in=pks).update(updated_at=value, **self._counted(value))
        return self._read(environments.filter(pk__in=locked))

    def _counted(self, moment: datetime) -> dict[str, Any]:
        """The values of the fields that rise with every change, silent ones included, if the model has them.

        No two revisions share a ``last_modified``: the second of two changes within one second gets the next second.
        Dates in HTTP have whole seconds, so with an equal date the second revision would be answered "not modified".
        """
        counted = {
            "revision": F("revision") + 1,
            "last_modified": Greatest(F("last_modified") + 1, Value(int(moment.timestamp()))),
        }
        fields = {field.name for field in self.environments.model._meta.concrete_fields}
        return {name: value for name, value in counted.items() if name in fields}

    def _read(self, environments: QuerySet[Any]) -> dict[EnvironmentID, EnvironmentState]:
        return self._of_rows(self._rows(environments))

    def _rows(self, environments: QuerySet[Any]) -> "QuerySet[Any, tuple[Any, ...]]":
        return environments.values_list("pk", "api_key", "updated_at", *gate_fields())

    def _of_rows(self, rows: Iterable[Sequence[Any]]) -> dict[EnvironmentID, EnvironmentState]:
        return {
            pk: EnvironmentState(EnvironmentKey(key), updated_at, is_gate_open(*gate))
            for pk, key, updated_at, *gate in rows
        }


def is_valid_key(key: str) -> bool:
    """Return True if an environment can have this key. PostgreSQL rejects even a query for text with a null byte."""
    return len(key) <= MAX_KEY_LENGTH and "\0" not in key


def gate_fields() -> list[str]:
    """The fields that decide whether the gate is open: lookup paths from the environment's model."""
    return [conf.GATE_FIELD, *([conf.PLAN_FIELD] if conf.PLANS else [])]


def is_gate_open(switch: bool, *plan: str) -> bool:
    """Return True if the gate is open with these values of ``gate_fields``."""
    return bool(switch) and plan_allows(*plan)


def plan_allows(plan: str | None = None) -> bool:
    """Return True if organisations of this plan may use real time: every plan, unless ``REALTIME_PLANS`` lists some.

    As in Flagsmith, a listed name is a prefix: "enterprise" includes "enterprise-2024".
    """
    return not conf.PLANS or any((plan or "").startswith(family) for family in conf.PLANS)


def _known(own: Mapping[EnvironmentKey, EnvironmentState | None]) -> dict[EnvironmentKey, EnvironmentState]:
    return {key: state for key, state in own.items() if state is not None}


@cache
def current() -> Host:
    """The host of this process. It is made when the app is loaded, before there are other threads."""
    host: Host = import_string(HOSTS.get(conf.HOST, HOSTS["embedded"]))()
    return host


@receiver(setting_changed)
def _forget(**kwargs: Any) -> None:
    current.cache_clear()
