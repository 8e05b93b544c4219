"""Versions that external publishers post: the endpoint ``queue-change``, and the stores that ``hosts.Host`` uses.

``queue_change.py`` reads a post, stores its version and publishes it. A post comes by Django's view (``views.py``), or
by the shortcut (``intake.py``). The stores are a table of the database (``sql.py``), and Redis (``redis.py``).
"""
