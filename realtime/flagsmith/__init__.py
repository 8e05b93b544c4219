"""The app inside a real Flagsmith's own processes: changes are collected by signals, and versions raised at once.

``connect`` is called when the app is loaded. Data flow, in Flagsmith's API and in its task processor:

* ``collecting.py``: signal receivers. They run in Flagsmith's requests and tasks, and make no query.
* ``raising.py``: a thread with its own database connection. It raises versions, and the bus carries the events.
* ``visibility.py``: the environments in which a collected change shows.
* ``late_writes.py``: keeps Flagsmith's tasks from lowering a version, or from making a second one.
* ``caches.py``: a backend for Flagsmith's cache of environments, which the settings name.
* ``cache_listener.py``: a thread that knows which of the cached environments need not be compared with the database.

And in ``serve_realtime``:

* ``host.py``: reads the versions.
* ``schedule.py``: announces scheduled changes when they go live.
* ``cache_notifier.py``: waits, before an event, until no process uses an older environment from its cache.

The reasons are in docs/decisions/0008-inside-flagsmith.md.
"""

from django.apps import apps

from realtime import hosts

HISTORY = "simple_history"
"""Flagsmith's app that writes a record of each change, and sends the signal that is received here."""


def connect() -> None:
    """Connect the receivers, if versions are raised here. The checks report a project without history."""
    if hosts.current().raises_in_flagsmith and apps.is_installed(HISTORY):
        from realtime.flagsmith import collecting, late_writes

        collecting.connect()
        late_writes.connect()
