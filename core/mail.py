"""E-mail, sent in the background: the response time must not show whether an address has an account."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from django.conf import settings
from django.core.mail import EmailMessage

logger = structlog.get_logger(__name__)

MAX_QUEUED_MESSAGES = 1000

_sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")
_free_slots = threading.BoundedSemaphore(MAX_QUEUED_MESSAGES)


def send_later(subject: str, text: str, address: str) -> None:
    """Queue a message. One that cannot be sent is logged and dropped."""
    if _free_slots.acquire(blocking=False):
        _sender.submit(_send, EmailMessage(subject, text, to=[address]))
    else:
        logger.error("message_dropped", subject=subject, waiting=MAX_QUEUED_MESSAGES)


def wait() -> None:
    """Block until all queued messages are sent or dropped."""
    _sender.submit(lambda: None).result()


def _send(message: EmailMessage) -> None:
    try:
        if not settings.EMAIL_HOST:
            # The backend would create a directory that other users of the machine can read.
            Path(settings.EMAIL_FILE_PATH).mkdir(mode=0o700, parents=True, exist_ok=True)
        message.send()
    except Exception as error:
        # Neither the text nor the address is logged: links in the text are secrets, and addresses are personal data.
        logger.error("message_not_sent", subject=message.subject, error=type(error).__name__)
    finally:
        _free_slots.release()
