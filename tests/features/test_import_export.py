"""Exports of an environment's features, and their import into another one."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import AuditLog
from environments.models import Environment, Webhook
from features.import_export.models import MAX_BYTES, FeatureExport, FeatureImport
from features.models import Feature, FeatureSegment, FeatureState
from projects.models import Project
from tests.features.flag import Flag
from webhooks.models import Delivery

pytestmark = pytest.mark.django_db

CREATE = "/api/v1/features/create-feature-export/"

ITEM = {
    "name": "banner",
    "default_enabled": False,
    "is_server_key_only": False,
    "initial_value": "red",
    "value": "blue",
    "type": "unicode",
    "enabled": True,
    "multivariate": [],
}


def option(value: str, percentage: float, default: float) -> dict[str, Any]:
    return {
        "percentage_allocation": percentage,
        "default_percentage_allocation": default,
        "value": value,
        "type": "unicode",
    }


def upload(client: APIClient, environment: Environment, content: Any, strategy: str = "SKIP") -> Any:
    """Upload a file as Flagsmith's dashboard does."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    body = {"file": SimpleUploadedFile("export.json", text, "application/json"), "strategy": strategy}
    return client.post(f"/api/v1/features/feature-import/{environment.pk}", body, format="multipart")


def default(environment: Environment, name: str) -> FeatureState:
    states = FeatureState.objects.filter(environment=environment, feature__name=name, version__isnull=False)
    return states.get(identity=None, feature_segment=None)


def shares(state: FeatureState) -> dict[Any, float]:
    rows = state.multivariate_feature_state_values.select_related("multivariate_feature_option")
    return {row.multivariate_feature_option.value: row.percentage_allocation for row in rows}


def test_export__downloaded_and_imported_into_another_project__same_flags(
    admin: APIClient, features: str, environment: Environment, flag: Flag
) -> None:
    for name, kind, value in (("number", "integer", "7"), ("switch", "boolean", "true"), ("gone", "string", "x")):
        created = admin.post(features, {"name": name, "initial_value": value}, "json").json()
        default_ = {"enabled": True, "value": {"type": kind, "value": value}}
        path = f"/api/__future__/environments/{environment.api_key}/features/{created['id']}/"
        assert admin.patch(path, {"environment_default": default_}, "json").status_code == 200
    admin.patch(f"{features}{created['id']}/", {"is_archived": True}, "json")
    options = [{"string_value": "a", "default_percentage_allocation": 30}]
    admin.post(features, {"name": "split", "multivariate_options": options, "is_server_key_only": True}, "json")

    answer = admin.post(CREATE, {"environment_id": environment.pk, "tag_ids": []}, "json")
    export = answer.json()
    assert answer.status_code == 201
    assert (export["status"], export["environment_id"]) == ("SUCCESS", environment.pk)
    assert export["name"].startswith("Development | ")
    assert admin.get(features.replace("features", "feature-exports")).json()["results"] == [export]
    download = admin.get(f"/api/v1/features/download-feature-export/{export['id']}/")
    assert download["Content-Disposition"] == f"attachment; filename=feature_export.{export['id']}.json"
    assert [list(each) for each in download.json()] == [
        ["name", "default_enabled", "is_server_key_only", "initial_value", "value", "type", "enabled", "multivariate"]
    ] * 4
    assert [each["name"] for each in download.json()] == ["banner", "number", "switch", "split"]

    other = Project.objects.create(name="Other", organisation=environment.project.organisation)
    target = Environment.objects.create(name="Target", project=other)
    sibling = Environment.objects.create(name="Sibling", project=other)
    answer = upload(admin, target, download.content)
    assert answer.status_code == 201
    assert answer.json() == {
        "id": FeatureImport.objects.get().pk,
        "environment_id": target.pk,
        "strategy": "SKIP",
        "status": "SUCCESS",
        "created_at": answer.json()["created_at"],
        "created_features": 4,
        "overwritten_features": 0,
        "skipped_features": 0,
        "removed_overrides": 0,
    }
    again = admin.post(CREATE, {"environment_id": target.pk, "tag_ids": []}, "json").json()
    assert admin.get(f"/api/v1/features/download-feature-export/{again['id']}/").json() == download.json()
    assert (default(target, "number").enabled, default(sibling, "number").enabled) == (True, False)
    assert default(sibling, "number").feature_state_value.value == 7
    assert shares(default(sibling, "split")) == {"a": 30}
    assert Feature.objects.get(project=other, name="split").owners.get().email == "admin@example.com"


def test_export__tags__only_their_features(
    admin: APIClient, environment: Environment, make_feature: Callable[..., Feature], project: Project
) -> None:
    tags = [project.tags.create(label=label, color="#123456") for label in ("one", "two")]
    make_feature("both").tags.set(tags)
    make_feature("first").tags.set(tags[:1])
    make_feature("none")
    body = {"environment_id": environment.pk, "tag_ids": [tag.pk for tag in tags]}
    export = admin.post(CREATE, body, "json").json()
    names = [each["name"] for each in admin.get(f"/api/v1/features/download-feature-export/{export['id']}/").json()]
    assert names == ["both", "first"]
    other = Project.objects.create(name="Other", organisation=project.organisation)
    body["tag_ids"] = [other.tags.create(label="x", color="#123456").pk]
    answer = admin.post(CREATE, body, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["tag_ids"])


def test_export__too_large__400_and_not_stored(
    admin: APIClient, environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    for number in range(-(-MAX_BYTES // 20_000)):
        feature = make_feature(f"large-{number}")
        value = FeatureState.objects.get(feature=feature).feature_state_value
        value.string_value = "x" * 20_000
        value.save()
    answer = admin.post(CREATE, {"environment_id": environment.pk, "tag_ids": []}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["tag_ids"])
    assert not FeatureExport.objects.exists()


def test_exports__old_and_many__deleted(admin: APIClient, environment: Environment, production: Environment) -> None:
    for _ in range(22):
        export = admin.post(CREATE, {"environment_id": environment.pk, "tag_ids": []}, "json").json()
    assert FeatureExport.objects.count() == 20
    FeatureExport.objects.exclude(pk=export["id"]).update(created_at=timezone.now() - timedelta(days=15))
    admin.post(CREATE, {"environment_id": production.pk, "tag_ids": []}, "json")
    assert FeatureExport.objects.count() == 2
    environment.delete()
    assert FeatureExport.objects.count() == 1


def test_import__overwrite__this_environment_only(
    admin: APIClient,
    environment: Environment,
    production: Environment,
    make_feature: Callable[..., Feature],
    make_override: Callable[..., FeatureSegment],
    make_identity_override: Callable[..., FeatureState],
    logged: Callable[[], list[str]],
) -> None:
    feature = make_feature("Banner", initial_value="old")
    make_override(feature, "segment", 0)
    for identifier in ("ada", "bob"):
        make_identity_override(feature, identifier)
    item = {**ITEM, "multivariate": [option("a", 20, 30), option("b", 5, 90)]}
    item["multivariate"][1]["default_percentage_allocation"] = 60
    answer = upload(admin, environment, [item], "OVERWRITE_DESTRUCTIVE")
    assert answer.status_code == 201, answer.json()
    numbers = {name: answer.json()[name] for name in ("created_features", "overwritten_features", "removed_overrides")}
    assert numbers == {"created_features": 0, "overwritten_features": 1, "removed_overrides": 3}
    state = default(environment, "Banner")
    assert (state.enabled, state.feature_state_value.value, shares(state)) == (True, "blue", {"a": 20, "b": 5})
    assert not FeatureSegment.objects.exists()
    assert not FeatureState.objects.filter(environment=environment).exclude(pk=state.pk).exists()
    feature.refresh_from_db()
    assert (feature.type, feature.initial_value) == ("MULTIVARIATE", "old")
    other = default(production, "Banner")
    assert (other.enabled, other.feature_state_value.value, shares(other)) == (False, "old", {})
    assert logged() == [
        "Flag state / Remote config value deleted for feature 'Banner' and segment 'segment'",
        "Identity overrides deleted for feature: Banner",
        "Flag state updated for feature: Banner",
        "Remote config value updated for feature: Banner",
        "Multivariate value changed for feature 'Banner'.",
        "Multivariate value changed for feature 'Banner'.",
    ]
    again = {**item, "multivariate": [option("c", 10, 50), option("a", 1, 1)]}
    assert upload(admin, environment, [again], "OVERWRITE_DESTRUCTIVE").status_code == 201
    assert shares(default(environment, "Banner")) == {"a": 1, "b": 0, "c": 10}
    percentages = feature.multivariate_options.values_list("default_percentage_allocation", flat=True)
    assert list(percentages) == [30, 60, 0]
    assert upload(admin, environment, [{**again, "value": "other"}], "SKIP").json()["skipped_features"] == 1
    assert default(environment, "Banner").feature_state_value.value == "blue"


def test_import__overwrite__proposed_overrides_stay_and_are_not_counted(
    admin: APIClient,
    environment: Environment,
    make_feature: Callable[..., Feature],
    make_override: Callable[..., FeatureSegment],
) -> None:
    feature = make_feature("Banner")
    make_override(feature, "live", 0)
    proposed = make_override(feature, "proposed", 1, live=False)
    state = {"feature": feature.pk, "feature_segment": proposed.pk, "enabled": True}
    path = f"/api/v1/environments/{environment.api_key}/create-change-request/"
    request = admin.post(path, {"title": "t", "feature_states": [state]}, "json").json()
    answer = upload(admin, environment, [{**ITEM, "name": "Banner"}], "OVERWRITE_DESTRUCTIVE")
    assert (answer.status_code, answer.json()["removed_overrides"]) == (201, 1)
    commit = admin.post(f"/api/v1/features/workflows/change-requests/{request['id']}/commit/")
    assert commit.status_code == 200, commit.json()
    assert list(FeatureSegment.objects.values_list("segment__name", flat=True)) == ["proposed"]
    assert FeatureState.objects.get(feature_segment=proposed).version == 1


def test_import__new_features__logged_and_delivered_to_webhooks(
    admin: APIClient, environment: Environment, production: Environment, logged: Callable[[], list[str]]
) -> None:
    Webhook.objects.create(environment=environment, url="https://hooks.example.com/")
    assert upload(admin, environment, [{**ITEM, "multivariate": [option("a", 20, 30)]}]).status_code == 201
    assert logged() == [
        "New Flag / Remote Config created: banner",
        "Flag state updated for feature: banner",
        "Remote config value updated for feature: banner",
        "Multivariate value changed for feature 'banner'.",
    ]
    whole_project = AuditLog.objects.filter(environment=None, project=environment.project)
    assert [each.log for each in whole_project.order_by("pk")] == [
        "New Flag / Remote Config created: banner",
        "Multivariate option added to feature 'banner'.",
    ]
    assert {each.author.email for each in whole_project if each.author} == {"admin@example.com"}
    [delivery] = Delivery.objects.all()
    assert "blue" in delivery.body


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff", "The file is not JSON"),
        (b"[" * 2_000, "The file is not JSON"),
        (b'[{"name": "\\ud800"}]', "The file is not JSON"),
        ({}, "Expected a list"),
        ([ITEM, {**ITEM, "name": "BANNER"}], "more than once"),
        ([ITEM, {**ITEM, "name": "other", "value": True}], "this must be text, or null"),
        ([ITEM, {**ITEM, "name": "other", "type": "int", "value": 2**31}], "less than or equal to 2147483647"),
        ([ITEM, {**ITEM, "name": "other", "multivariate": [option("a", 60, 0), option("b", 60, 0)]}], "exceed 100%"),
        ([ITEM, {**ITEM, "name": "other", "multivariate": [option("a", 0, 60), option("b", 0, 60)]}], "percentage"),
        ([ITEM, {**ITEM, "name": "other", "multivariate": [option("a", 0, 0)] * 2}], "already"),
        ([ITEM, {**ITEM, "name": "No"}], "must match regex"),
        (json.dumps([ITEM]).encode().ljust(MAX_BYTES + 1), "File size is too large."),
    ],
)
def test_import__bad_file__400_names_it_and_nothing_is_done(
    admin: APIClient, environment: Environment, content: Any, complaint: str
) -> None:
    Project.objects.filter(pk=environment.project_id).update(feature_name_regex="[^N].*")
    answer = upload(admin, environment, content)
    assert answer.status_code == 400
    assert list(answer.json()) == ["file"]
    assert complaint in answer.content.decode()
    assert not Feature.objects.exists()
    assert not FeatureImport.objects.exists()


def test_import__many_features__a_constant_number_of_queries(
    admin: APIClient, environment: Environment, production: Environment, feature: Feature
) -> None:
    numbers = []
    for prefix, count in (("few", 2), ("more", 8)):
        items = [{**ITEM, "name": f"{prefix}-{number}", "multivariate": [option("a", 1, 2)]} for number in range(count)]
        for strategy in ("SKIP", "OVERWRITE_DESTRUCTIVE"):
            with CaptureQueriesContext(connection) as captured:
                assert upload(admin, environment, items, strategy).status_code == 201
            numbers.append(len(captured))
    assert numbers[0] == numbers[2]
    assert numbers[1] == numbers[3]


def test_import__permissions__organisation_admins_only(
    member: APIClient, permit: Callable[..., None], environment: Environment, project: Project
) -> None:
    permit("VIEW_PROJECT")
    assert upload(member, environment, [ITEM]).status_code == 404
    permit("VIEW_ENVIRONMENT", environment=environment)
    assert upload(member, environment, [ITEM]).status_code == 403
