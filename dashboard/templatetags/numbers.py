"""Template filters that format numbers."""

from django import template

register = template.Library()


@register.filter
def grouped(number: int) -> str:
    """With thousands separators: ``1,234,567``."""
    return f"{number:,}"
