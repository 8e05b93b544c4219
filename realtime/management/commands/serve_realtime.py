from realtime.management.commands import serve


class Command(serve.Command):
    """Serves streams, ``queue-change`` and health for a project whose own pages are on another server."""

    help = "Serve only the streams, next to the server of the project's own pages (uvicorn with uvloop and httptools)."

    def application(self) -> str:
        return "realtime.serving.asgi.application"
