import json
import time
from argparse import ArgumentParser
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections

from realtime import inspector
from realtime.inspector.panel import EVENTS, Event, Minute, Panel, Process, panel


class Command(BaseCommand):
    """Shows an environment's streams and its newest events, in all processes together."""

    help = "Show an environment's streams, its newest events and its last hour (docs/inspector.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", help="the environment's public key")
        parser.add_argument("--events", type=int, default=EVENTS, help="the number of newest events to show, at most")
        parser.add_argument("--json", action="store_true", help="print everything as JSON, one object per line")
        parser.add_argument("--every", type=float, default=0.0, help="print it again every this many seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["events"] < 0 or not 0 <= options["every"] <= 86_400:
            raise CommandError("--events must be at least 0, and --every between 0 and 86400.")
        if not inspector.is_recording():
            self.stderr.write("REALTIME_INSPECTION is off: servers with these settings record nothing.")
        render = _json if options["json"] else _text
        # The user ends the command with Ctrl+C, or by closing the pipe.
        with suppress(KeyboardInterrupt, BrokenPipeError):
            while True:
                self.stdout.write(render(panel(options["key"], options["events"])))
                self.stdout.flush()
                if not options["every"]:
                    break
                connections.close_all()
                time.sleep(options["every"])


class _Encoder(DjangoJSONEncoder):
    """Encodes datetimes with microseconds, which versions need. Django's encoder truncates them to milliseconds."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


def _json(shown: Panel) -> str:
    whole = asdict(shown)
    for encoded, event in zip(whole["events"], shown.events, strict=True):
        encoded["version"] = event.version
    return json.dumps(whole, cls=_Encoder)


def _text(shown: Panel) -> str:
    lines = [f"Streams: {shown.streams}", *map(_process, shown.processes), f"Windows of the dashboard: {shown.windows}"]
    lines += ["", "Events:", *map(_event, shown.events)]
    lines += ["", "Minutes in which something happened:", *(_minute(each) for each in shown.history if each.events)]
    return "\n".join(lines)


def _process(process: Process) -> str:
    return (
        f"  {process.streams:7} in {process.host} {process.pid}, "
        f"since {process.started_at:%Y-%m-%d %H:%M:%S}, seen {process.seen_at:%H:%M:%S}"
    )


def _event(event: Event) -> str:
    parts = [f"{event.at:%H:%M:%S} {event.version}: written to {event.written}"]
    if event.p50_ms is not None and event.p99_ms is not None:
        parts.append(f"{event.p50_ms:.1f} ms (p50) and {event.p99_ms:.1f} ms (p99) after updated_at")
    if event.superseded:
        parts.append(f"superseded for {event.superseded}")
    if event.healed:
        parts.append("healed")
    return "  " + ", ".join(parts)


def _minute(minute: Minute) -> str:
    text = f"  {minute.begins_at:%H:%M} streams {minute.streams}, events {minute.events}, written {minute.written}"
    if minute.p50_ms is not None and minute.p99_ms is not None:
        text += f", {minute.p50_ms:.1f} ms (p50) and {minute.p99_ms:.1f} ms (p99) after updated_at"
    return text
