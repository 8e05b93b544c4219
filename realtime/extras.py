"""Checks for optional dependencies, and names the extra of ``flagsmith-realtime`` that installs them."""

from importlib.util import find_spec


def problem(extra: str, *modules: str) -> str | None:
    """An error message that names the missing modules of this extra and the remedy; None if all are installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if not missing:
        return None
    return f"Not installed: {', '.join(missing)}. Run: pip install 'flagsmith-realtime[{extra}]'"
