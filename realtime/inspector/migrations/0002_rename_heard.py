from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("realtime_inspector", "0001_initial")]

    operations = [migrations.RenameField("inspectedminute", "heard", "delivered")]
