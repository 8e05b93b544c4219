"""HTTP: uvicorn's server and protocol, shortcuts ahead of ASGI, the stream endpoint, and the graceful shutdown."""
