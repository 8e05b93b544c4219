import signal
from typing import Any

from django.core.management.base import BaseCommand

from features.workflows.core.scheduler import Scheduler


class Command(BaseCommand):
    """Runs the scheduler alone, for servers that run with ``RUN_SCHEDULER=false``, or beside those that do not."""

    help = "Make scheduled change requests live when their time has come, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        scheduler = Scheduler()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: scheduler.end())
        scheduler.run()
