"""Redis by URL, in the words of django-eventstream's setting."""

from realtime.serving.redis_urls import arguments

__all__ = ["arguments"]
