"""Failure log: logs a repeated failure once until the work succeeds again."""

from typing import Any


class FailureLog:
    """Whether some work fails at present. The first failure is logged, and the recovery, if it has an event.

    ``has_stack``: the failure is logged as an error with its stack, otherwise as a warning with ``error``. ``fields``
    are added to each failure.
    """

    def __init__(
        self, logger: Any, event: str, recovery: str = "", *, has_stack: bool = False, **fields: object
    ) -> None:
        self.is_failing = False
        self.last_error = ""
        """The last failure, which may be over."""
        self._logger = logger
        self._event = event
        self._recovery = recovery
        self._has_stack = has_stack
        self._fields = fields

    def failed(self, error: Exception | None = None, /, **fields: object) -> None:
        """Report a failure. ``fields`` are added to its line, or replace ``error`` there."""
        if not self.is_failing:
            fields = {**self._fields, **fields}
            if self._has_stack:
                self._logger.error(self._event, exc_info=error, **fields)
            else:
                self._logger.warning(self._event, **({"error": repr(error)} if error is not None else {}) | fields)
        self.is_failing, self.last_error = True, repr(error)

    def succeeded(self) -> None:
        """Report that the work has succeeded."""
        if self.is_failing and self._recovery:
            self._logger.info(self._recovery)
        self.is_failing = False
