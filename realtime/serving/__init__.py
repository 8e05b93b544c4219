"""Everything a server of streams needs besides the app: ASGI, health, logs, and the database and Redis by URL."""
