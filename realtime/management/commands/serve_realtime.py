from realtime.management.commands import serve


class Command(serve.Command):
    """Serves the streams, ``queue-change`` and the health of a project whose own pages another server has."""

    help = "Serve the streams alone, beside the server of the project's own pages (uvicorn with uvloop and httptools)."

    def application(self) -> str:
        return "realtime.serving.asgi.application"
