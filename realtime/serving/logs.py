"""Logs are events with fields, one JSON object a line; `python -m json.tool --json-lines` reads them."""

import logging
from typing import Any

import structlog
from structlog.typing import Processor

from realtime.serving import environment

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

FOREIGN_PRE_CHAIN: list[Processor] = [*_SHARED, structlog.stdlib.ExtraAdder()]

PROCESSORS: list[Processor] = [
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
                "processors": PROCESSORS,
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
