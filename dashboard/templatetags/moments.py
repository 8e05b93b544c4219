"""Template tags for times: ``<time>`` elements in UTC, with ISO 8601 in the attributes."""

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@register.simple_tag
def moment(at: datetime) -> SafeString:
    """Date and time to the minute. The full time is the tooltip."""
    return _time(at, f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")


@register.simple_tag
def clock(at: datetime) -> SafeString:
    """Time of day to the second."""
    return _time(at, f"{at.astimezone(UTC):%H:%M:%S}")


@register.simple_tag
def countdown(at: datetime) -> SafeString:
    """Time until ``at``, in the format of countdown.js, which updates it."""
    return format_html('<time data-countdown datetime="{}">{}</time>', at.isoformat(), time_left(at - timezone.now()))


def time_left(duration: timedelta) -> str:
    """``in 3 h 12 min``: the two largest units."""
    if duration < SECOND:
        return "now"
    if duration < MINUTE:
        return f"in {duration // SECOND} s"
    if duration < HOUR:
        return f"in {duration // MINUTE} min {duration % MINUTE // SECOND} s"
    if duration < DAY:
        return f"in {duration // HOUR} h {duration % HOUR // MINUTE} min"
    return f"in {duration // DAY} d {duration % DAY // HOUR} h"


def _time(at: datetime, text: str) -> SafeString:
    iso = at.astimezone(UTC).isoformat()
    return format_html('<time datetime="{}" title="{}">{}</time>', iso, iso, text)
