"""Days as integers since 1970-01-01 in UTC, which are cheap to compute for every request."""

import time
from datetime import date, timedelta

SECONDS_PER_DAY = 86_400
EPOCH = date(1970, 1, 1)


def today() -> int:
    return int(time.time()) // SECONDS_PER_DAY


def date_of(day: int) -> date:
    return EPOCH + timedelta(days=day)
