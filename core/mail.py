"""Messages to people, sent in the background: a mail server's time says nothing about who has an account here."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from django.conf import settings
from django.core.mail import EmailMessage

logger = structlog.get_logger(__name__)

# More are not kept waiting while the mail server is away.
WAITING = 1000

_sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")
_places = threading.BoundedSemaphore(WAITING)


def send_later(subject: str, text: str, address: str) -> None:
    """Send a message soon. What cannot be sent is logged, and given up."""
    if _places.acquire(blocking=False):
        _sender.submit(_send, EmailMessage(subject, text, to=[address]))
    else:
        logger.error("message_dropped", subject=subject, waiting=WAITING)


def wait() -> None:
    """Until all messages so far are sent or given up."""
    _sender.submit(lambda: None).result()


def _send(message: EmailMessage) -> None:
    try:
        if not settings.EMAIL_HOST:
            # The backend would let everybody on the machine read what it writes.
            Path(settings.EMAIL_FILE_PATH).mkdir(mode=0o700, parents=True, exist_ok=True)
        message.send()
    except Exception as error:
        # Neither the text nor the address: links in it are secrets, and addresses are people's.
        logger.error("message_not_sent", subject=message.subject, error=type(error).__name__)
    finally:
        _places.release()
