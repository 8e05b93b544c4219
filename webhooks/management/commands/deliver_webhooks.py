from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import processes
from realtime.serving.command_line import problem_of_database
from webhooks.deliverer import Deliverer


class Command(BaseCommand):
    """A process that only delivers webhooks. Servers that run with ``DELIVER_WEBHOOKS=false`` need one."""

    help = "Deliver webhooks, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        if problem := problem_of_database():
            raise CommandError(problem)
        processes.run(Deliverer())
