from typing import Any

from django.db import migrations, models


def reserve(apps: Any, schema_editor: Any) -> None:
    """Reserve the current keys of all environments. Keys retired earlier are not stored anywhere."""
    keys = apps.get_model("environments", "Environment").objects.values_list("api_key", "project__organisation_id")
    reserved = apps.get_model("environments", "ReservedKey")
    rows = (reserved(key=key, organisation_id=organisation_id) for key, organisation_id in keys.iterator())
    reserved.objects.bulk_create(rows, batch_size=1_000)


class Migration(migrations.Migration):
    dependencies = [("environments", "0006_last_modified")]

    operations = [
        migrations.CreateModel(
            name="ReservedKey",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("organisation_id", models.IntegerField()),
            ],
        ),
        migrations.RunPython(reserve, migrations.RunPython.noop),
    ]
