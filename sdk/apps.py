from django.apps import AppConfig


class SDKConfig(AppConfig):
    """Without models: the app is installed for ``ready``."""

    name = "sdk"

    def ready(self) -> None:
        from sdk import schema  # noqa: F401
