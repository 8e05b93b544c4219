"""Where environments live, and the only place that reads or writes them.

*Embedded*: a model of the project that this app is installed in, with a key, an ``updated_at``, optionally a
``revision`` and a ``last_modified``, and somewhere behind it the project's switch and the organisation's plan.
*Detached*: no such model, only the app's own table, fed by an external publisher. *Flagsmith*: as embedded, but the
project is a real Flagsmith, which raises its versions itself. Either way that table holds what the host's database does
not know.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import router, transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from realtime import posted_versions, prepared
from realtime.conf import conf
from realtime.models import ExternalEnvironment
from realtime.types import TICK, EnvironmentID, EnvironmentKey, EnvironmentState, UpdatedAt, first_readable

MAX_KEY_LENGTH = 100

# How long a real Flagsmith's tasks may have waited. Its table of environments has no index on their versions and is
# read as a whole either way.
LATE = timedelta(hours=1)


class Host:
    """Environments of the app's own table: the detached host, and what every other one falls back to."""

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        """The present state of each of these environments; a key that nobody knows is left out."""
        found = self._external(ExternalEnvironment.objects.filter(key__in=filter(is_possible, keys)))
        return {state.key: state for state in found}

    def moved_since(self, moment: datetime) -> list[EnvironmentState]:
        """The states of the environments that moved after this moment, by the clocks of those who moved them."""
        return self._external(ExternalEnvironment.objects.filter(received_at__gt=moment))

    def hear(self, times: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentState]:
        """Take external publishers' word on these environments; what there is to publish then.

        On one that the host's own database has, their word is only a hint to look at it again.
        """
        own = self._own(times)
        risen = posted_versions.raise_times({key: time for key, time in times.items() if key not in own})
        return [*own.values(), *(EnvironmentState(key, times[key], True) for key in risen)]

    def _own(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        """The present states of those that the host's own database has."""
        return {}

    gate_is_versioned = True
    """A change of the gate raises the version."""

    def committed_states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        """``states``, from the database that is written: a replica may not have them yet."""
        return self.states(keys)

    def is_in(self, using: str) -> bool:
        """True if environments are written to the database of this alias."""
        return False

    def versions(self, ids: Iterable[EnvironmentID]) -> dict[EnvironmentID, Any]:
        """The present versions of these environments, of silent changes too, to be compared with each other."""
        return {}

    def newest(self, read: EnvironmentState | None, received: EnvironmentState) -> EnvironmentState | None:
        """The state to deliver when another process has announced ``received`` and this one has then read ``read``.

        Detached servers may each have a database of their own, so what was received may be newer than what is read.
        """
        if read is None or read.updated_at <= received.updated_at:
            return received._replace(live=received.live if read is None else read.live)
        return read

    def lock(self, ids: Iterable[EnvironmentID], exclusive: bool = False) -> dict[EnvironmentID, UpdatedAt]:
        return {}

    def _external(self, environments: QuerySet[ExternalEnvironment]) -> list[EnvironmentState]:
        rows = environments.values_list("key", "updated_at")
        return [EnvironmentState(EnvironmentKey(key), updated_at, True) for key, updated_at in rows]

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
        """All processes share the database, and it decides: the API serves nothing else."""
        return read

    @property
    def environments(self) -> QuerySet[Any]:
        environments: QuerySet[Any] = apps.get_model(conf.ENVIRONMENT_MODEL)._base_manager.all()
        return environments

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        found = self._own(list(filter(is_possible, keys)))
        unknown = [key for key in keys if key not in found]
        return found | super().states(unknown) if unknown else found

    def moved_since(self, moment: datetime) -> list[EnvironmentState]:
        # In no order: for the sake of the model's own SQLite would read the whole table, and not the index.
        moved = self._read(self.environments.filter(updated_at__gt=moment).order_by())
        return [*moved.values(), *super().moved_since(moment)]

    def _external(self, environments: QuerySet[ExternalEnvironment]) -> list[EnvironmentState]:
        """A key that this database has come to know since it was posted is the database's alone."""
        return super()._external(environments.exclude(key__in=self.environments.values("api_key")))

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

        Rows that refer to an environment can still be inserted meanwhile (NO KEY), unless the lock is ``exclusive``.
        """
        rows = self.environments.filter(pk__in=ids).order_by("pk").select_for_update(no_key=not exclusive)
        return dict(rows.values_list("pk", "updated_at"))

    def raise_versions(self, ids: Iterable[EnvironmentID], silent: bool) -> dict[EnvironmentID, EnvironmentState]:
        """Raise the versions of these environments and say what they then are; nothing of those raised silently.

        The new ``updated_at`` is the clock's time, or a microsecond more than the old one where a clock lags, or one of
        the next microseconds, the first that no SDK reads as newer than itself. It is not the database's ``now()``:
        that is the time at which the transaction began, and one that began earlier may commit later. The lock is held
        until the commit, so versions increase in commit order. The gate is read after the lock was taken, so that a
        transaction counts that closed it before. All on the database that is written: a replica does not have this
        yet. The change may be one of another database, whose transaction is not this one's.
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
        """What rises with every change, silent ones included, of what the model has.

        No two revisions share a ``last_modified``: the second of two changes within one second gets the next second.
        A date in HTTP has whole seconds, and one that two revisions had would say "not modified" of the second.
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
        fields = ["pk", "api_key", "updated_at", conf.GATE_FIELD, *([conf.PLAN_FIELD] if conf.PLANS else [])]
        return environments.values_list(*fields)

    def _of_rows(self, rows: Iterable[Sequence[Any]]) -> dict[EnvironmentID, EnvironmentState]:
        return {
            pk: EnvironmentState(EnvironmentKey(key), updated_at, bool(gate) and plan_allows(*plan))
            for pk, key, updated_at, gate, *plan in rows
        }


class FlagsmithHost(EmbeddedHost):
    """The models of a real Flagsmith that has this app in its own processes, which raises versions there."""

    gate_is_versioned = False
    """The switch may also be changed by SQL. Then no version is raised."""

    def moved_since(self, moment: datetime) -> list[EnvironmentState]:
        """What moved after this moment, and what came late: where a process of Flagsmith does not have this app, a
        version is the time of the change, and is written when a task has been done that may have waited.
        """
        return super().moved_since(moment - LATE)


class FollowedFlagsmithHost(FlagsmithHost):
    """The models of a real Flagsmith that raises its versions itself, some time after the change. Nothing of its is
    written.
    """

    def lock(self, ids: Iterable[EnvironmentID], exclusive: bool = False) -> dict[EnvironmentID, UpdatedAt]:
        return {}

    def raise_versions(self, ids: Iterable[EnvironmentID], silent: bool) -> dict[EnvironmentID, EnvironmentState]:
        return {}


def is_possible(key: str) -> bool:
    """Whether anything can have this key. A database may refuse to even look for one that is none (a null byte)."""
    return len(key) <= MAX_KEY_LENGTH and "\0" not in key


def plan_allows(plan: str | None = None) -> bool:
    """Whether organisations of this plan may use real time: every plan, unless ``REALTIME_PLANS`` lists some.

    As in Flagsmith a plan is named by its family: "enterprise" also stands for "enterprise-2024".
    """
    return not conf.PLANS or any((plan or "").startswith(family) for family in conf.PLANS)


HOSTS: dict[str, type[Host]] = {"embedded": EmbeddedHost, "detached": Host, "flagsmith": FlagsmithHost}


def current() -> Host:
    """The host that ``REALTIME_HOST`` names, and ``REALTIME_FLAGSMITH`` for a real Flagsmith."""
    if conf.HOST == "flagsmith" and not conf.RAISES_IN_FLAGSMITH:
        return FollowedFlagsmithHost()
    return HOSTS.get(conf.HOST, EmbeddedHost)()
