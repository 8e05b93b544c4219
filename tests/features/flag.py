"""A client of the flag endpoint (``/api/__future__/``) for tests."""

from typing import Any

from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature


def text(value: str) -> dict[str, str]:
    return {"type": "string", "value": value}


class Flag:
    """Calls the endpoint of one feature in one environment, and asserts that each call succeeds."""

    def __init__(self, client: APIClient, environment: Environment, feature: Feature) -> None:
        self.client = client
        self.path = f"/api/__future__/environments/{environment.api_key}/features/{feature.pk}/"

    def read(self) -> Any:
        return self._call("get")

    def patch(self, **body: Any) -> Any:
        return self._call("patch", body)

    def put(self, **body: Any) -> Any:
        return self._call("put", body)

    def remove(self, segment: int) -> Any:
        return self._successful(self.client.delete(f"{self.path}segment-overrides/{segment}/"))

    def rejected(self, method: str, body: Any, status: int = 400) -> Any:
        response = getattr(self.client, method)(self.path, body, "json")
        assert response.status_code == status, response.content
        return response.json()

    def _call(self, method: str, body: Any = None) -> Any:
        return self._successful(getattr(self.client, method)(self.path, body, *(() if body is None else ("json",))))

    def _successful(self, response: Any) -> Any:
        assert response.status_code == 200, response.content
        return response.json()


def variants(*pairs: tuple[int, float]) -> list[dict[str, float]]:
    return [{"id": pk, "weight": weight} for pk, weight in pairs]


def priorities(response: Any) -> list[tuple[int, int]]:
    return [(each["segment"]["id"], each["priority"]) for each in response["segment_overrides"]]
