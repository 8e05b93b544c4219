"""From an event to the clients' streams: asynchronous, in one event loop, so nothing here is locked."""
