from typing import Any

from django.db import migrations
from django.db.models import F, OuterRef, Subquery


def fill(apps: Any, schema_editor: Any) -> None:
    """Fill the columns of migration 0003 in existing entries, with one query for each type.

    Entries of states that no longer exist stay empty: their feature is not stored anywhere.
    """
    entries = apps.get_model("audit", "AuditLog").objects.filter(feature_id=None)
    entries.filter(related_object_type="FEATURE").update(feature_id=F("related_object_id"))
    states = apps.get_model("features", "FeatureState").objects.filter(pk=OuterRef("related_object_id"))
    entries.filter(related_object_type="FEATURE_STATE").update(
        feature_id=Subquery(states.values("feature_id")),
        segment_id=Subquery(states.values("feature_segment__segment_id")),
        identity_id=Subquery(states.values("identity_id")),
    )


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_feature_of_entries"), ("features", "0005_overrides_without_nulls")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
