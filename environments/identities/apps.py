from django.apps import AppConfig


class IdentitiesConfig(AppConfig):
    name = "environments.identities"
    label = "identities"
