"""``environments/{key}/segments/{id}/check/``: whether an identity belongs to a segment, and by which rules."""

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from segments.models import Segment

pytestmark = pytest.mark.django_db

PRO = [{"trait_key": "plan", "trait_value": "pro"}]


def test_check__typed_and_stored_traits__verdict_with_its_rules(
    admin: APIClient, outsider: APIClient, environment: Environment, segment: Segment
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/segments/{segment.pk}/check/"
    found = admin.post(path, {"traits": PRO}, "json").json()
    condition = {"operator": "EQUAL", "property": "plan", "value": "pro", "matches": True}
    inner = {"type": "ANY", "matches": True, "conditions": [condition], "rules": []}
    outer = {"type": "ALL", "matches": True, "conditions": [], "rules": [inner]}
    assert found == {"matches": True, "rules": [outer]}
    identity = Identity.objects.create(environment=environment, identifier="ada")
    assert not admin.post(path, {"identifier": "ada"}, "json").json()["matches"]
    Trait.objects.create(identity=identity, trait_key="plan", string_value="pro")
    assert admin.post(path, {"identifier": "ada"}, "json").json()["matches"]
    # Given traits take precedence over stored ones.
    free = [{"trait_key": "plan", "trait_value": "free"}]
    assert not admin.post(path, {"identifier": "ada", "traits": free}, "json").json()["matches"]
    assert admin.post(path.replace(f"{segment.pk}/check", "999/check"), {"traits": PRO}, "json").status_code == 404
    assert outsider.post(path, {"traits": PRO}, "json").status_code == 404
