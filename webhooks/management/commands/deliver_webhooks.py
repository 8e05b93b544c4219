import signal
from typing import Any

from django.core.management.base import BaseCommand

from webhooks.deliverer import Deliverer


class Command(BaseCommand):
    """Delivers webhooks alone, for servers that run with ``DELIVER_WEBHOOKS=false``, or beside those that do not."""

    help = "Deliver webhooks, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        deliverer = Deliverer()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: deliverer.end())
        deliverer.run()
