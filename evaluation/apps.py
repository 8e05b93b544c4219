from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    """An app without models, installed for the management command of the evaluation process."""

    name = "evaluation"
