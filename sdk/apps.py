from django.apps import AppConfig


class SDKConfig(AppConfig):
    """An app without models, installed for ``ready``."""

    name = "sdk"

    def ready(self) -> None:
        from sdk import schema  # noqa: F401
