"""Feature versioning v2: there is none, and its end points say so."""

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


def test_versioning__whoever_sees_the_environment__told_that_there_is_none(
    admin: APIClient,
    member: APIClient,
    outsider: APIClient,
    anonymous: APIClient,
    environment: Environment,
    feature: Feature,
) -> None:
    for method, end in CALLS:
        names = {"key": environment.api_key, "pk": environment.pk, "feature": feature.pk, "uuid": UUID}
        path = "/api/v1/environments/" + end.format_map(names)
        response = getattr(admin, method)(path, {}, format="json")
        assert (response.status_code, response.json()) == (404, {"detail": NO_VERSIONS}), end
        for caller in (member, outsider):
            response = getattr(caller, method)(path, {}, format="json")
            assert response.status_code == 404, end
            assert response.json() == {"detail": "No Environment matches the given query."}, end
        assert getattr(anonymous, method)(path, {}, format="json").status_code == 401, end
    response = member.get(f"/api/v1/environment-feature-versions/{UUID}/")
    assert (response.status_code, response.json()) == (404, {"detail": NO_VERSIONS})
    assert admin.get(f"/api/v1/environments/{environment.api_key}/").json()["use_v2_feature_versioning"] is False
