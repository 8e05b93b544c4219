from django.apps import AppConfig


class ImportExportConfig(AppConfig):
    name = "features.import_export"
    label = "features_import_export"
