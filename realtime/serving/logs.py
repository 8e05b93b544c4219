"""Logging configuration: structured events, as one JSON object per line, or as text on a terminal (``LOG_FORMAT``)."""

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


def settings(format_name: str | None = None, level: str | None = None, colours: bool | None = None) -> dict[str, Any]:
    """Django's setting ``LOGGING``: events of ``LOG_LEVEL`` and above go to stderr.

    The parameters take the place of ``LOG_FORMAT`` and ``LOG_LEVEL``, and of the check for a terminal.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": "structlog.stdlib.ProcessorFormatter",
                "processors": _text_processors(colours) if _is_text(format_name) else JSON,
                "foreign_pre_chain": FOREIGN_PRE_CHAIN,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {
            "handlers": ["stderr"],
            "level": level or environment.choice("LOG_LEVEL", "INFO", logging.getLevelNamesMapping()),
        },
        # It logs a line for each listener, of which there is one per streamed environment.
        "loggers": {"django_eventstream": {"level": "WARNING"}},
    }


def configure() -> None:
    """Configure structlog to log through the standard library's loggers, which ``LOGGING`` formats."""
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


def _is_text(format_name: str | None) -> bool:
    wanted = format_name or environment.choice("LOG_FORMAT", "AUTO", FORMATS)
    return wanted == "TEXT" or (wanted == "AUTO" and sys.stderr.isatty())


def _text_processors(colours: bool | None) -> list[Processor]:
    """Processors of the text format: one line per event with time, level, event and fields; then the traceback.

    Colours only on terminals (https://no-color.org).
    """
    has_colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR") if colours is None else colours
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _shorten,
        structlog.dev.ConsoleRenderer(colors=has_colours, exception_formatter=structlog.dev.plain_traceback),
    ]


def _shorten(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Remove uvicorn's duplicate message, and shorten the timestamp to the time of day (UTC)."""
    event.pop("color_message", None)
    event["timestamp"] = event["timestamp"][11:19]
    return event
