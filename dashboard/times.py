"""Times in forms: fields of the type ``datetime-local``, in UTC."""


def utc_time(text: str) -> str | None:
    """The value of a field as a time in UTC; None if it is empty. The API rejects other text."""
    return f"{text}Z" if text else None
