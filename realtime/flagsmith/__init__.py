"""The app inside a real Flagsmith's own processes: changes are collected by signals, and versions raised at once.

``connect`` is called when the app is loaded. Data flow, in Flagsmith's API and in its task processor:

* ``collecting.py``: signal receivers. They run in Flagsmith's requests and tasks, and make no query.
* ``raising.py``: a thread with its own database connection. It raises versions, and the bus carries the events.
* ``visibility.py``: the environments in which a collected change shows.
* ``late_writes.py``: keeps Flagsmith's tasks from lowering a version, or from making a second one.
* ``caches.py``: a backend for Flagsmith's cache of environments, which the settings name.

``schedule.py`` runs in ``serve_realtime``: it announces scheduled changes when they go live. The reasons are in
docs/decisions/0008-inside-flagsmith.md.
"""

from django.apps import apps

from realtime.conf import conf

HISTORY = "simple_history"
"""Flagsmith's app that writes a record of each change, and sends the signal that is received here."""


def connect() -> None:
    """Connect the receivers, if versions are raised here. The checks report a project without history."""
    if conf.RAISES_IN_FLAGSMITH and apps.is_installed(HISTORY):
        from realtime.flagsmith import collecting, late_writes

        collecting.connect()
        late_writes.connect()
