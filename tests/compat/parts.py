"""What contracts ask about a library's parts."""

import inspect
from collections.abc import Callable
from typing import Any


def parameters(function: Callable[..., Any]) -> list[str]:
    """The names of a function's or a method's parameters, without ``self``."""
    return [name for name in inspect.signature(function).parameters if name != "self"]
