from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    name = "api_keys"
    label = "api_keys"

    def ready(self) -> None:
        from api_keys import schema  # noqa: F401
