from rest_framework.exceptions import ValidationError


class ChangeRequestError(ValidationError):
    """A violated rule of change requests (400). Clients of Flagsmith read either ``detail`` or ``message``."""

    def __init__(self, message: str) -> None:
        super().__init__({"detail": message, "message": message})
