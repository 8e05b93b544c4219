from django.apps import AppConfig


class TraitsConfig(AppConfig):
    name = "environments.identities.traits"
    label = "traits"
