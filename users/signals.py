"""Signals that the accounts' services send to the packages above."""

from django.dispatch import Signal

registering = Signal()
"""Sent where registration needs an invitation: ``invite_hash``, ``email``, ``sign_up_type``. A receiver returns whether
there is one."""

deleting_orphans = Signal()
"""Sent before a user is deleted, in the same transaction: ``user``. Receivers delete the organisations that have no
other member."""
