from django.apps import apps as installed
from django.db import migrations

MODELS = ("InspectedEvent", "InspectedMinute", "InspectedProcess")


def drop_unless_installed(apps, schema_editor):
    """Leave the tables with their rows to the inspector; where it is not installed nothing would ever clear them."""
    if not installed.is_installed("realtime.inspector"):
        for name in MODELS:
            schema_editor.delete_model(apps.get_model("realtime", name))


def create_unless_there(apps, schema_editor):
    tables = schema_editor.connection.introspection.table_names()
    for name in MODELS:
        model = apps.get_model("realtime", name)
        if model._meta.db_table not in tables:
            schema_editor.create_model(model)


class Migration(migrations.Migration):

    dependencies = [
        ("realtime", "0002_inspection"),
    ]

    operations = [
        migrations.RunPython(drop_unless_installed, create_unless_there),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name) for name in MODELS],
        ),
    ]
