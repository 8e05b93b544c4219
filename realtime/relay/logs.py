"""Logging configuration of the relay: that of the other servers, with the Edge Proxy's settings."""

from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from realtime.relay.configuration import Logging
from realtime.serving import logs

configure = logs.configure

DEFAULT_EVENT_FIELD = "message"

ACCESS_FIELDS = ("remote_ip", "method", "path", "http_version", "status")


def settings(logging: Logging) -> dict[str, Any]:
    """Django's setting ``LOGGING``. Formatters, handlers and loggers of ``override`` replace those of equal names."""
    names = {"generic": "TEXT", "json": "JSON", None: None}
    field = logging.log_event_field_name or DEFAULT_EVENT_FIELD
    config = logs.settings(format_name=names[logging.log_format], level=logging.log_level, colours=logging.colours)
    structured = config["formatters"]["structured"]
    is_json = structured["processors"] is logs.JSON
    if is_json:
        renamed = structlog.processors.EventRenamer(field)
        structured["processors"] = [*logs.JSON[:-1], renamed, logs.JSON[-1]]
    structured["foreign_pre_chain"] = [*structured["foreign_pre_chain"], _access_fields]
    structured["pass_foreign_args"] = True
    # They log each request at level INFO.
    config["loggers"] |= {name: {"level": "WARNING"} for name in ("httpx", "httpcore")}
    # The Edge Proxy's names.
    config["formatters"] |= {"generic": structured, "json": structured}
    config["handlers"]["default"] = config["handlers"].pop("stderr")
    config["root"]["handlers"] = ["default"]
    if logging.enable_access_log:
        config["loggers"]["uvicorn.access"] = {"level": "INFO"}
    for name in ("formatters", "handlers", "loggers"):
        config[name] |= (logging.override or {}).get(name) or {}
    if "" in config["loggers"]:
        # The root logger, which is configured last.
        config["root"] = config["loggers"].pop("")
    return config


def _access_fields(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Add the parts of a line of uvicorn's access log as fields."""
    arguments = event.pop("positional_args", ())
    # Uvicorn's message again, for terminals.
    event.pop("color_message", None)
    if event.get("logger") == "uvicorn.access" and len(arguments) == len(ACCESS_FIELDS):
        event.update(zip(ACCESS_FIELDS, arguments, strict=True))
    return event
