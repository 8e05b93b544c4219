"""Real-time flag updates for Flagsmith, as a Django app. This module is its public API (docs/embedding.md).

Names are imported lazily, because Django imports this package before models can be imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime.changes.triggers import WATCHED, Watch, environments_of
    from realtime.changes.versions import announce, committed, lock, raised
    from realtime.delivery.connections import opened
    from realtime.types import NOTHING, Effect, EnvironmentKey, EnvironmentState, RowOperation, epoch_seconds

__all__ = [
    "NOTHING",
    "WATCHED",
    "Effect",
    "EnvironmentKey",
    "EnvironmentState",
    "RowOperation",
    "Watch",
    "announce",
    "committed",
    "environments_of",
    "epoch_seconds",
    "lock",
    "opened",
    "raised",
]

_MODULES = {
    "realtime.changes.versions": ("announce", "committed", "lock", "raised"),
    "realtime.changes.triggers": ("WATCHED", "Watch", "environments_of"),
    "realtime.delivery.connections": ("opened",),
    "realtime.types": ("NOTHING", "RowOperation", "Effect", "EnvironmentKey", "EnvironmentState", "epoch_seconds"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
