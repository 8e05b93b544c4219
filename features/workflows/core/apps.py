from django.apps import AppConfig


class WorkflowsCoreConfig(AppConfig):
    name = "features.workflows.core"
    label = "workflows_core"
