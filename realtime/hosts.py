"""Where environments live, and the only place that reads or writes them.

*Embedded*: a model of the project that this app is installed in, with a key, an ``updated_at``, optionally a
``revision``, and somewhere behind it the project's switch and the organisation's plan. *Detached*: no such model, only
the app's own table, fed by an external publisher. Either way that table holds what the host's database does not know.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db.models import F, QuerySet
from django.utils import timezone

from realtime.conf import conf
from realtime.models import ExternalEnvironment
from realtime.types import EnvironmentID, EnvironmentKey, EnvironmentState, UpdatedAt

TICK = timedelta(microseconds=1)

MAX_KEY_LENGTH = 100


class Host:
    """Environments of the app's own table: the detached host, and what every other one falls back to."""

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        """The present state of each of these environments; a key that nobody knows is left out."""
        found = self._external(ExternalEnvironment.objects.filter(key__in=filter(is_possible, keys)))
        return {state.key: state for state in found}

    def moved_since(self, moment: datetime) -> list[EnvironmentState]:
        """The states of the environments that moved after this moment, by the clocks of those who moved them."""
        return self._external(ExternalEnvironment.objects.filter(received_at__gt=moment))

    def knows(self, key: EnvironmentKey) -> bool:
        """Whether the host's own database has the environment, so that a publisher's word on it is only a hint."""
        return False

    def lock(self, ids: Iterable[EnvironmentID]) -> dict[EnvironmentID, UpdatedAt]:
        return {}

    def _external(self, environments: QuerySet[ExternalEnvironment]) -> list[EnvironmentState]:
        rows = environments.values_list("key", "updated_at")
        return [EnvironmentState(EnvironmentKey(key), updated_at, True) for key, updated_at in rows]

    def raise_versions(self, ids: Iterable[EnvironmentID], silent: bool) -> dict[EnvironmentID, EnvironmentState]:
        return {}


class EmbeddedHost(Host):
    """Environments of the project's own models."""

    @property
    def environments(self) -> QuerySet[Any]:
        environments: QuerySet[Any] = apps.get_model(conf.ENVIRONMENT_MODEL)._base_manager.all()
        return environments

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        possible = list(filter(is_possible, keys))
        found = {state.key: state for state in self._read(self.environments.filter(api_key__in=possible)).values()}
        unknown = [key for key in keys if key not in found]
        return found | super().states(unknown) if unknown else found

    def moved_since(self, moment: datetime) -> list[EnvironmentState]:
        moved = self._read(self.environments.filter(updated_at__gt=moment))
        return [*moved.values(), *super().moved_since(moment)]

    def _external(self, environments: QuerySet[ExternalEnvironment]) -> list[EnvironmentState]:
        """A key that this database has come to know since it was posted is the database's alone."""
        return super()._external(environments.exclude(key__in=self.environments.values("api_key")))

    def knows(self, key: EnvironmentKey) -> bool:
        return self.environments.filter(api_key=key).exists()

    def lock(self, ids: Iterable[EnvironmentID]) -> dict[EnvironmentID, UpdatedAt]:
        """Lock these environments to the end of the transaction, always in the order of their primary keys.

        NO KEY: rows that refer to an environment can still be inserted meanwhile.
        """
        rows = self.environments.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
        return dict(rows.values_list("pk", "updated_at"))

    def raise_versions(self, ids: Iterable[EnvironmentID], silent: bool) -> dict[EnvironmentID, EnvironmentState]:
        """Raise the versions of these environments and say what they then are; nothing of those raised silently.

        The new ``updated_at`` is the clock's time, or a microsecond more than the old one where a clock lags. Not the
        database's ``now()``: that is the time at which the transaction began, and one that began earlier may commit
        later. The lock lasts to the commit, so values rise in the order of commits. The gate is read after the lock
        was had, so that whoever turned it off before us is heard.
        """
        locked = self.lock(ids)
        raised: dict[str, Any] = {"revision": F("revision") + 1} if self._has_revision() else {}
        if silent:
            if raised:
                self.environments.filter(pk__in=locked).update(**raised)
            return {}
        now = timezone.now()
        by_value: dict[UpdatedAt, list[EnvironmentID]] = {}
        for pk, updated_at in locked.items():
            by_value.setdefault(max(now, updated_at + TICK), []).append(pk)
        for value, pks in by_value.items():
            self.environments.filter(pk__in=pks).update(updated_at=value, **raised)
        return self._read(self.environments.filter(pk__in=locked))

    def _has_revision(self) -> bool:
        return any(field.name == "revision" for field in self.environments.model._meta.concrete_fields)

    def _read(self, environments: QuerySet[Any]) -> dict[EnvironmentID, EnvironmentState]:
        fields = ["pk", "api_key", "updated_at", conf.GATE_FIELD, *([conf.PLAN_FIELD] if conf.PLANS else [])]
        return {
            pk: EnvironmentState(EnvironmentKey(key), updated_at, bool(gate) and plan_allows(*plan))
            for pk, key, updated_at, gate, *plan in environments.values_list(*fields)
        }


def is_possible(key: str) -> bool:
    """Whether anything can have this key. A database may refuse to even look for one that is none (a null byte)."""
    return len(key) <= MAX_KEY_LENGTH and "\0" not in key


def plan_allows(plan: str | None = None) -> bool:
    """Whether organisations of this plan may use real time: every plan, unless ``REALTIME_PLANS`` lists some.

    As in Flagsmith a plan is named by its family: "enterprise" also stands for "enterprise-2024".
    """
    return not conf.PLANS or any((plan or "").startswith(family) for family in conf.PLANS)


def current() -> Host:
    """The host that ``REALTIME_HOST`` names."""
    return Host() if conf.HOST == "detached" else EmbeddedHost()
