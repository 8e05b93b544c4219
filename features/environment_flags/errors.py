from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError


class ChangeRequestsEnabled(APIException):
    """Direct changes are rejected, since the environment uses change requests. Clients check the code."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self) -> None:
        super().__init__(
            {
                "detail": "This environment's flags are changed by change requests.",
                "code": "change_requests_enabled",
            }
        )


class DuplicatePriority(ValidationError):
    def __init__(self, priority: int) -> None:
        super().__init__({"detail": f"Duplicate priority: {priority}."})
