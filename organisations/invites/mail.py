"""Mails with invitations."""

from django.conf import settings

from core.mail import send_later
from organisations.invites.models import Invite

TEXT = """Hello,

you are invited to join {organisation} on Flagsmith. To accept, follow this link:

{link}

The link can be used once, with an account that has this address.
"""


def send(invite: Invite) -> None:
    """Send the invitation's mail in the background. A failure is logged; the invitation can be sent again."""
    inviter = _line(invite.invited_by.get_full_name()) if invite.invited_by is not None else ""
    organisation = _line(invite.organisation.name)
    if inviter:
        subject = f"{inviter} has invited you to join the organisation '{organisation}' on Flagsmith"
    else:
        subject = f"You have been invited to join the organisation '{organisation}' on Flagsmith"
    text = TEXT.format(organisation=organisation, link=f"{settings.PUBLIC_URL}/invite/{invite.hash}")
    send_later(subject, text, invite.email)


def _line(name: str) -> str:
    """The name on one line, because a subject must not contain line breaks."""
    return " ".join(name.split())
