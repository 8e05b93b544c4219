from typing import Any

from realtime.types import Change, Effect
from realtime.watch import Watch


def switch(instance: Any, change: Change) -> Effect:
    return Effect([instance.stage_id], silent=instance.note == "quiet")


WATCHED = (
    Watch("hostapp.Switch", ("on",), switch),
    Watch("hostapp.NotHere", ("anything",), switch),
)
