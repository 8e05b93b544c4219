"""The endpoints of feature versioning v2, which is not available."""

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from environments.versioning import NO_VERSIONS
from features.models import Feature

pytestmark = pytest.mark.django_db

UUID = "0b5a5f0e-6a53-4b0e-9d3c-3f0f6a1c9a11"

CALLS = (
    ("post", "{key}/enable-v2-versioning/"),
    ("post", "{key}/disable-v2-versioning/"),
    ("get", "{pk}/features/{feature}/versions/"),
    ("post", "{pk}/features/{feature}/versions/"),
    ("get", "{pk}/features/{feature}/versions/{uuid}/"),
    ("delete", "{pk}/features/{feature}/versions/{uuid}/"),
    ("post", "{pk}/features/{feature}/versions/{uuid}/publish/"),
    ("get", "{pk}/features/{feature}/versions/{uuid}/featurestates/"),
    ("post", "{pk}/features/{feature}/versions/{uuid}/featurestates/"),
    ("put", "{pk}/features/{feature}/versions/{uuid}/featurestates/1/"),
)


def test_versioning__caller_may_see_the_environment__404_with_the_reason(
    admin: APIClient,
    member: APIClient,
    outsider: APIClient,
    anonymous: APIClient,
    environment: Environment,
    feature: Feature,
) -> None:
    for method, template in CALLS:
        values = {"key": environment.api_key, "pk": environment.pk, "feature": feature.pk, "uuid": UUID}
        path = "/api/v1/environments/" + template.format_map(values)
        response = getattr(admin, method)(path, {}, format="json")
        assert (response.status_code, response.json()) == (404, {"detail": NO_VERSIONS}), path
        for caller in (member, outsider):
            response = getattr(caller, method)(path, {}, format="json")
            assert response.status_code == 404, path
            assert response.json() == {"detail": "No Environment matches the given query."}, path
        assert getattr(anonymous, method)(path, {}, format="json").status_code == 401, path
    response = member.get(f"/api/v1/environment-feature-versions/{UUID}/")
    assert (response.status_code, response.json()) == (404, {"detail": NO_VERSIONS})
    assert admin.get(f"/api/v1/environments/{environment.api_key}/").json()["use_v2_feature_versioning"] is False
