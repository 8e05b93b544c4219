"""The page Export and import."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from dashboard.import_export.pages import Import
from environments.models import Environment
from features.import_export.models import FeatureExport, FeatureImport
from features.models import Feature
from organisations.models import Organisation
from projects.models import Project
from tests.features.test_import_export import ITEM, default

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(project: Project) -> str:
    return f"/projects/{project.pk}/settings/import-export/"


def form(environment: Environment, items: Any, strategy: str = "SKIP") -> dict[str, Any]:
    content = items if isinstance(items, bytes) else json.dumps(items).encode()
    file = SimpleUploadedFile("features.json", content, "application/json")
    return {"environment": environment.api_key, "strategy": strategy, "file": file}


def test_export__chosen_tags__file_downloaded(
    browser: Client, page: str, project: Project, environment: Environment, feature: Feature
) -> None:
    tag = project.tags.create(label="web", color="#123456")
    feature.tags.add(tag)
    chosen = {"environment": environment.api_key, "tags": [str(tag.pk)]}
    response = browser.post(f"{page}export/", chosen, follow=True)
    assert "The export of Development is in the list." in response.content.decode()
    export = FeatureExport.objects.get()
    assert f"exports/{export.pk}/" in response.content.decode()
    download = browser.get(f"{page}exports/{export.pk}/")
    assert download["Content-Disposition"] == f'attachment; filename="feature_export.{export.pk}.json"'
    assert [each["name"] for each in download.json()] == [feature.name]
    wrong = browser.post(f"{page}export/", {"environment": environment.api_key, "tags": ["999"]})
    assert (wrong.status_code, "object does not exist" in wrong.content.decode()) == (400, True)


def test_import__checked_then_confirmed__nothing_before(
    browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    items = [{**ITEM, "name": feature.name}, {**ITEM, "name": "new"}]
    preview = browser.post(f"{page}import/", form(environment, items, "OVERWRITE_DESTRUCTIVE"))
    text = preview.content.decode()
    assert (preview.status_code, "1 feature created" in text, "1 overwritten" in text) == (200, True, True)
    assert not FeatureImport.objects.exists()
    assert not default(environment, feature.name).enabled
    confirmed = {"environment": environment.api_key, "strategy": "OVERWRITE_DESTRUCTIVE", "action": "import"}
    response = browser.post(f"{page}import/", {**confirmed, "content": json.dumps(items)}, follow=True)
    assert "Imported into Development: 1 created, 1 overwritten, 0 skipped." in response.content.decode()
    assert default(environment, feature.name).enabled
    assert default(environment, "new").feature_state_value.value == "blue"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "The file is not JSON"),
        (b"", "Choose a file."),
        ([ITEM, {**ITEM, "name": "b", "value": 7}], "Feature 2, value: With the type"),
    ],
)
def test_import__bad_file__explained_and_nothing_done(
    browser: Client, page: str, environment: Environment, content: Any, complaint: str
) -> None:
    response = browser.post(f"{page}import/", {**form(environment, content), "action": "import"})
    assert (response.status_code, complaint in response.content.decode()) == (400, True)
    assert not Feature.objects.exists()


def test_import__needs_approval__only_new_features(
    browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=1)
    item = {**ITEM, "name": feature.name}
    response = browser.post(f"{page}import/", form(environment, [item], "OVERWRITE_DESTRUCTIVE"))
    assert (response.status_code, "change requests alone" in response.content.decode()) == (409, True)
    assert browser.post(f"{page}import/", form(environment, [item])).status_code == 200
    assert not default(environment, feature.name).enabled


def test_import__environment_deleted_meanwhile__404(
    browser: Client, page: str, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The page has read the environment before it is deleted.
    monkeypatch.setattr(Import, "chosen_environment", lambda page: environment)
    Environment.objects.filter(pk=environment.pk).delete()
    assert browser.post(f"{page}import/", form(environment, [ITEM])).status_code == 404
    assert not Feature.objects.exists()


def test_pages__viewer__explained_and_403(
    viewer: Client, browser: Client, page: str, environment: Environment, organisation: Organisation
) -> None:
    text = viewer.get(page).content.decode()
    assert "needs an admin of an environment" in text
    assert "needs an admin of the organisation" in text
    assert viewer.post(f"{page}export/", {"environment": environment.api_key}).status_code == 403
    assert viewer.post(f"{page}import/", form(environment, [ITEM])).status_code == 403
    browser.post(f"{page}export/", {"environment": environment.api_key})
    assert viewer.get(f"{page}exports/{FeatureExport.objects.get().pk}/").status_code == 403
    assert browser.get(f"{page}exports/999/").status_code == 404
    assert browser.post(f"{page}import/", {"environment": "nothing"}).status_code == 404
    assert not Feature.objects.exists()
