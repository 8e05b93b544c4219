"""Versions that external publishers post: the ``queue-change`` endpoint."""
