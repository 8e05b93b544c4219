"""Logs: events with fields. For programs one JSON object a line, on a terminal text (``LOG_FORMAT``)."""

import logging
import os
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from realtime.serving import environment

FORMATS = ("AUTO", "JSON", "TEXT")

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

FOREIGN_PRE_CHAIN: list[Processor] = [*_SHARED, structlog.stdlib.ExtraAdder()]

JSON: list[Processor] = [
    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(),
]


def settings() -> dict[str, Any]:
    """Django's setting ``LOGGING``: all of ``LOG_LEVEL`` and above to the standard error output."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": "structlog.stdlib.ProcessorFormatter",
                "processors": _text() if _is_for_people() else JSON,
                "foreign_pre_chain": FOREIGN_PRE_CHAIN,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {
            "handlers": ["stderr"],
            "level": environment.choice("LOG_LEVEL", "INFO", logging.getLevelNamesMapping()),
        },
        # It logs a line for each listener: one for each environment that somebody streams.
        "loggers": {"django_eventstream": {"level": "WARNING"}},
    }


def configure() -> None:
    """Send structlog's events through the standard library's loggers, which ``LOGGING`` formats."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _is_for_people() -> bool:
    wanted = environment.choice("LOG_FORMAT", "AUTO", FORMATS)
    return wanted == "TEXT" or (wanted == "AUTO" and sys.stderr.isatty())


def _text() -> list[Processor]:
    """One line an event: the time of the day, the level, the event, its fields; tracebacks below. Colours are for
    terminals (https://no-color.org)."""
    has_colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _for_people,
        structlog.dev.ConsoleRenderer(colors=has_colours, exception_formatter=structlog.dev.plain_traceback),
    ]


def _for_people(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """An event without what is for programs alone, and with the time of the day as its time (UTC)."""
    event.pop("color_message", None)
    event["timestamp"] = event["timestamp"][11:19]
    return event
