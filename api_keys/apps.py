from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    name = "api_keys"
    label = "api_keys"
