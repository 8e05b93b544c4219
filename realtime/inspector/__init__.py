"""Inspector: a Django app that records who streams an environment and what was delivered, for about an hour.

``panel.py`` reads the tables. The other modules fill them, in a thread, so that the event loop does not wait.
"""

from realtime import hosts
from realtime.conf import conf


def is_recording() -> bool:
    """True if servers with these settings record."""
    return hosts.current().owns_models if conf.INSPECTION is None else conf.INSPECTION
