"""Versions that external publishers post: the endpoint ``queue-change``, and the stores that ``hosts.Host`` uses.

``queue_change.py`` reads a post, stores its version and publishes it: as Django's view, and for the shortcut in
``intake.py``. The stores are a table of the database (``sql.py``), and Redis (``redis.py``).
"""
