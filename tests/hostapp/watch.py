from typing import Any

from realtime.changes.watch import Watch
from realtime.types import Change, Effect


def switch(instance: Any, change: Change) -> Effect:
    return Effect([instance.stage_id], silent=instance.note == "quiet")


WATCHED = (
    Watch("hostapp.Switch", ("on",), switch),
    # This host has no such app.
    Watch("workflows_core.ChangeRequest", ("committed_at",), switch),
)
