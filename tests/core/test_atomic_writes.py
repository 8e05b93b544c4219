"""Writes of the API: one transaction, rolled back with any error response."""

from collections.abc import Iterator

import pytest
from django.urls import path
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient

from core.views import AtomicWrites
from environments.models import Environment
from tests.support.events import Recorder, recorded_events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


class Rename(AtomicWrites):
    """Renames an environment, and then returns or raises an error."""

    permission_classes = [AllowAny]

    def post(self, request: Request, api_key: str) -> Response:
        environment = Environment.objects.get(api_key=api_key)
        environment.name = "Renamed"
        environment.save()
        match request.data["result"]:
            case "error response":
                return Response(status=400)
            case "validation error":
                raise ValidationError({"name": ["Too late."]})
            case "failure":
                raise RuntimeError
        return Response()


urlpatterns = [path("rename/<str:api_key>/", Rename.as_view())]


@pytest.fixture
def events(environment: Environment) -> Iterator[Recorder]:
    with recorded_events(environment) as events:
        yield events


@pytest.mark.parametrize(
    ("result", "status"), [("error response", 400), ("validation error", 400), ("failure", 500), ("success", 200)]
)
def test_write__then_error__rolled_back_without_event(
    environment: Environment, events: Recorder, result: str, status: int
) -> None:
    client = APIClient(raise_request_exception=False)
    response = client.post(f"/rename/{environment.api_key}/", {"result": result}, "json")
    assert response.status_code == status
    is_renamed = Environment.objects.get(pk=environment.pk).name == "Renamed"
    assert (is_renamed, len(events.of(environment))) == ((True, 1) if status == 200 else (False, 0))
