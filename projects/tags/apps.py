from django.apps import AppConfig


class TagsConfig(AppConfig):
    name = "projects.tags"
    label = "tags"
