"""Storage of environments: the only module that reads and writes environments' versions and gates.

Three kinds of host, chosen by ``REALTIME_HOST``:

*Embedded*: a model of the project that this app is installed in, with a key, an ``updated_at``, optionally a
``revision`` and a ``last_modified``, and related to it the project's switch and the organisation's plan.
*Flagsmith*: as embedded, but the project is a real Flagsmith, which raises its environments' versions itself.
*Detached*: no such model, only the versions that an external publisher posts (``posted_versions``).

The other two hosts use those as well, for keys that the project's database does not have.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import router, transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Greatest
from django.dispatch import Signal
from django.utils import timezone

from realtime import posted_versions, prepared
from realtime.conf import conf
from realtime.types import TICK, EnvironmentID, EnvironmentKey, EnvironmentState, UpdatedAt, first_readable

MAX_KEY_LENGTH = 100

# A task of a real Flagsmith may write a version this long after the change. Looking back an hour costs nothing extra:
# Flagsmith's table of environments has no index on ``updated_at``, so the query scans the table in any case.
MAX_TASK_DELAY = timedelta(hours=1)


versions_read = Signal()
"""Sent by the host "flagsmith" at the end of ``states`` and ``changed_since``, which read all that streams get.

``states``: what was read. A receiver may wait, and its exception is that of the read.
"""


class Host:
    """The detached host: environments that publishers have posted. The other hosts extend it."""

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        """The current state of each of these environments. Unknown keys are left out."""
        found = posted_versions.current().read(list(filter(is_valid_key, keys)))
        return {key: EnvironmentState(key, updated_at, True) for key, updated_at in found.items()}

    def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        """The states of the environments that changed after this moment, by the clock of the server that wrote them."""
        found = posted_versions.current().changed_since(moment)
        return [EnvironmentState(key, updated_at, True) for key, updated_at in found.items()]

    def accept_posted(self, times: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentState]:
        """Store the versions that external publishers have posted, and return the states to publish.

        An environment of the host's own database keeps its version: its current state is published.
        """
        own = self._own(times)
        stored = posted_versions.current().store_newer({key: time for key, time in times.items() if key not in own})
        return [*own.values(), *(EnvironmentState(key, times[key], True) for key in stored)]

    def _own(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        """The current states of those environments that are in the host's own database."""
        return {}

    gate_is_versioned = True
    """A change of the gate raises the version, too."""

    serves_committed_versions = True
    """Once a version is committed, no process serves an older one. So this process's own events need no read."""

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


class EmbeddedHost(Host):
    """Environments of the project's own models."""

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

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        found = self._own(list(filter(is_valid_key, keys)))
        unknown = [key for key in keys if key not in found]
        return found | super().states(unknown) if unknown else found

    def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        # Without ``order_by()`` the model's default ordering makes SQLite scan the table instead of using the index.
        changed = self._read(self.environments.filter(updated_at__gt=moment).order_by())
        return [*changed.values(), *self._posted_since(moment)]

    def _posted_since(self, moment: datetime) -> list[EnvironmentState]:
        """Posted states, without keys that the project's database has by now: it overrules what was posted."""
        posted = super().changed_since(moment)
        own = self._own([state.key for state in posted]) if posted else {}
        return [state for state in posted if state.key not in own]

    def _own(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        return {state.key: state for state in self._states(keys).values()}

    def _states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentID, EnvironmentState]:
        if len(keys) != 1:
            return self._read(self.environments.filter(api_key__in=list(keys)))
        using = router.db_for_read(self.environments.model)
        rows = prepared.rows(
            "states", using, lambda key: self._rows(self.environments.filter(api_key=key)), next(iter(keys))
        )
        return self._of_rows(rows)

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


class FlagsmithHost(EmbeddedHost):
    """Environments of a real Flagsmith whose own processes have this app: their versions are raised there."""

    gate_is_versioned = False
    """The switch may also be changed by SQL. Then no version is raised."""

    serves_committed_versions = False
    """Flagsmith's processes cache environments."""

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        found = super().states(keys)
        versions_read.send(sender=None, states=found.values())
        return found

    def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        """As above, but back to ``MAX_TASK_DELAY`` before the moment.

        If a process of Flagsmith does not have this app, a task writes the time of its changes later.
        """
        changed = super().changed_since(moment - MAX_TASK_DELAY)
        versions_read.send(sender=None, states=changed)
        return changed


class FollowedFlagsmithHost(FlagsmithHost):
    """The models of a real Flagsmith that raises its versions itself, some time after the change. Nothing of its is
    written.
    """

    def lock(self, ids: Iterable[EnvironmentID], exclusive: bool = False) -> dict[EnvironmentID, UpdatedAt]:
        return {}

    def raise_versions(self, ids: Iterable[EnvironmentID], silent: bool) -> dict[EnvironmentID, EnvironmentState]:
        return {}


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


HOSTS: dict[str, type[Host]] = {"embedded": EmbeddedHost, "detached": Host, "flagsmith": FlagsmithHost}


def current() -> Host:
    """The host that ``REALTIME_HOST`` names, and ``REALTIME_FLAGSMITH`` for a real Flagsmith."""
    if conf.HOST == "flagsmith" and not conf.RAISES_IN_FLAGSMITH:
        return FollowedFlagsmithHost()
    return HOSTS.get(conf.HOST, EmbeddedHost)()
