from typing import Any

from realtime import Change, Effect, Watch


def switch(instance: Any, change: Change) -> Effect:
    return Effect([instance.stage_id], silent=instance.note == "quiet")


WATCHED = (
    Watch("hostapp.Switch", ("on",), switch),
    # This host has no such app.
    Watch("workflows_core.ChangeRequest", ("committed_at",), switch),
)
