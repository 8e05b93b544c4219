from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    """Without models: the app is installed for its management command, which runs the evaluation process."""

    name = "evaluation"
