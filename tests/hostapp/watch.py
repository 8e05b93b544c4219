from typing import Any

from realtime import Effect, RowOperation, Watch


def switch(instance: Any, operation: RowOperation) -> Effect:
    return Effect([instance.stage_id], silent=instance.note == "quiet")


WATCHED = (
    Watch("hostapp.Switch", ("on",), switch),
    # A model that this host does not have.
    Watch("workflows_core.ChangeRequest", ("committed_at",), switch),
)
