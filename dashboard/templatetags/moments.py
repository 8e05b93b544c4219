"""Times as pages show them: in UTC, absolute, and for programs in ISO 8601."""

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@register.simple_tag
def moment(at: datetime) -> SafeString:
    """To the minute; whoever points at it sees all of it."""
    return _time(at, f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")


@register.simple_tag
def clock(at: datetime) -> SafeString:
    """The time of the day alone, to the second."""
    return _time(at, f"{at.astimezone(UTC):%H:%M:%S}")


@register.simple_tag
def countdown(at: datetime) -> SafeString:
    """How long it is until then. countdown.js counts on, with the same words."""
    return format_html('<time data-countdown datetime="{}">{}</time>', at.isoformat(), left(at - timezone.now()))


def left(duration: timedelta) -> str:
    """in 3 h 12 min. Below an hour with seconds, above a day with days."""
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
