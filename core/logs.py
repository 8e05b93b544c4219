"""Logs are events with fields, one JSON object a line, as the server of the streams alone writes them too."""

from realtime.serving.logs import FOREIGN_PRE_CHAIN, PROCESSORS, configure

__all__ = ["FOREIGN_PRE_CHAIN", "PROCESSORS", "configure"]
