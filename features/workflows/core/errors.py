from rest_framework.exceptions import ValidationError


class Refused(ValidationError):
    """What a change request's rules forbid: 400. Some clients of Flagsmith read ``detail``, others ``message``."""

    def __init__(self, message: str) -> None:
        super().__init__({"detail": message, "message": message})
