from django.db import migrations, models


class CreateUnlessThere(migrations.CreateModel):
    """Make the table, unless ``realtime`` had it before the inspector became an app of its own."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        if table not in schema_editor.connection.introspection.table_names():
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ("realtime", "0003_inspector_is_an_app"),
    ]

    operations = [
        CreateUnlessThere(
            name='InspectedProcess',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.CharField(max_length=255)),
                ('pid', models.IntegerField()),
                ('started_at', models.DateTimeField()),
                ('seen_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'realtime_inspectedprocess',
            },
        ),
        CreateUnlessThere(
            name='InspectedEvent',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('process', models.IntegerField()),
                ('environment', models.CharField(max_length=100)),
                ('updated_at', models.DateTimeField()),
                ('noted_at', models.DateTimeField(db_index=True)),
                ('written_at', models.DateTimeField(null=True)),
                ('committed_at', models.DateTimeField(null=True)),
                ('written', models.IntegerField()),
                ('superseded', models.IntegerField()),
                ('healed', models.BooleanField()),
                ('times', models.JSONField()),
            ],
            options={
                'db_table': 'realtime_inspectedevent',
                'indexes': [models.Index(fields=['environment', 'updated_at'], name='realtime_inspected_event')],
            },
        ),
        CreateUnlessThere(
            name='InspectedMinute',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('process', models.IntegerField()),
                ('environment', models.CharField(max_length=100)),
                ('minute', models.DateTimeField(db_index=True)),
                ('streams', models.IntegerField()),
                ('published', models.IntegerField()),
                ('heard', models.IntegerField()),
                ('written', models.IntegerField()),
                ('superseded', models.IntegerField()),
                ('times', models.JSONField()),
            ],
            options={
                'db_table': 'realtime_inspectedminute',
                'constraints': [models.UniqueConstraint(fields=('environment', 'minute', 'process'), name='realtime_inspected_minute')],
            },
        ),
    ]
