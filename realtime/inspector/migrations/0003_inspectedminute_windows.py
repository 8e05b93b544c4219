from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("realtime_inspector", "0002_rename_heard")]

    operations = [
        # The database has the default too, for processes of the previous release.
        migrations.AddField("inspectedminute", "windows", models.IntegerField(db_default=0, default=0)),
    ]
