"""Receivers of the signals of ``users``."""

from typing import Any

from organisations.invites import services as invites
from organisations.services import delete_orphans
from users.models import FFAdminUser
from users.services import deleting_orphans, registering


def is_invited(invite_hash: str | None, email: str, sign_up_type: str | None, **kwargs: Any) -> bool:
    """Receiver of ``users.services.registering``."""
    return invites.is_invited(invite_hash, email, sign_up_type)


def delete_orphan_organisations(user: FFAdminUser, **kwargs: Any) -> None:
    """Receiver of ``users.services.deleting_orphans``."""
    delete_orphans(user)


def connect() -> None:
    registering.connect(is_invited, dispatch_uid="organisations:is_invited")
    deleting_orphans.connect(delete_orphan_organisations, dispatch_uid="organisations:delete_orphan_organisations")
