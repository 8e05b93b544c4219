"""Days as whole numbers, which are cheap to make for every request: since 1970-01-01, in UTC."""

import time
from datetime import date, timedelta

SECONDS = 86_400
FIRST = date(1970, 1, 1)


def today() -> int:
    return int(time.time()) // SECONDS


def date_of(day: int) -> date:
    return FIRST + timedelta(days=day)
