from typing import Any

from django.core.management.base import BaseCommand

from core import processes
from webhooks.deliverer import Deliverer


class Command(BaseCommand):
    """Delivers webhooks alone, for servers that run with ``DELIVER_WEBHOOKS=false``, or beside those that do not."""

    help = "Deliver webhooks, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        processes.run(Deliverer())
