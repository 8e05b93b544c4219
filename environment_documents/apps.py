from django.apps import AppConfig


class EnvironmentDocumentsConfig(AppConfig):
    """An app without models, installed for the management command of the evaluation process."""

    name = "environment_documents"
