"""The endpoint of a flag as a whole, for tests of it."""

from typing import Any

from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature


def text(value: str) -> dict[str, str]:
    return {"type": "string", "value": value}


class Flag:
    """The endpoint of one feature in one environment, called by the admin; each call must succeed."""

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
        return self._answered(self.client.delete(f"{self.path}segment-overrides/{segment}/"))

    def refused(self, method: str, body: Any, status: int = 400) -> Any:
        answer = getattr(self.client, method)(self.path, body, "json")
        assert answer.status_code == status, answer.content
        return answer.json()

    def _call(self, method: str, body: Any = None) -> Any:
        return self._answered(getattr(self.client, method)(self.path, body, *(() if body is None else ("json",))))

    def _answered(self, answer: Any) -> Any:
        assert answer.status_code == 200, answer.content
        return answer.json()


def variants(*pairs: tuple[int, float]) -> list[dict[str, float]]:
    return [{"id": pk, "weight": weight} for pk, weight in pairs]


def priorities(answer: Any) -> list[tuple[int, int]]:
    return [(each["segment"]["id"], each["priority"]) for each in answer["segment_overrides"]]
