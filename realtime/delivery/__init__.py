"""Delivers events to clients' streams. Everything runs in one event loop, so nothing here needs a lock."""
