"""Optional dependencies of the package ``flagsmith-realtime``: which extra installs a module that is missing."""

from importlib.util import find_spec


def problem(extra: str, *modules: str) -> str | None:
    """The modules of this extra that are not installed, and the remedy, in one line; None if all of them are."""
    missing = [name for name in modules if find_spec(name) is None]
    if not missing:
        return None
    return f"Not installed: {', '.join(missing)}. Run: pip install 'flagsmith-realtime[{extra}]'"
