"""Strict decoding of JSON."""

import json
from collections.abc import Callable
from typing import Any


def decode(body: bytes, parse_float: Callable[[str], float] = float) -> Any:
    """Parse JSON. Raises ValueError or RecursionError, also for NaN and for unpaired surrogates.

    UTF-8 has no surrogates: escapes of them could neither be hashed nor encoded in a response.
    """
    parsed = json.loads(body.decode(), parse_constant=_reject_constant, parse_float=parse_float)
    if b"\\u" in body:
        json.dumps(parsed, ensure_ascii=False).encode()
    return parsed


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
