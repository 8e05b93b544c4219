import sys

from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from realtime import announce
from tests.hostapp.models import Switch


def change(request: HttpRequest, pk: int, value: str) -> JsonResponse:
    """A save, with signals."""
    row = Switch.objects.get(pk=pk)
    row.on = value == "on"
    row.save()
    return JsonResponse({})


def change_in_bulk(request: HttpRequest, stage: int) -> JsonResponse:
    """A bulk write without signals, which the project announces."""
    announce([stage])
    Switch.objects.filter(stage_id=stage).update(on=True)
    return JsonResponse({})


def announce_silently(request: HttpRequest, stage: int) -> JsonResponse:
    announce([stage], silent=True)
    return JsonResponse({})


def modules(request: HttpRequest) -> JsonResponse:
    return JsonResponse(sorted({name.partition(".")[0] for name in sys.modules}), safe=False)


urlpatterns = [
    path("switch/<int:pk>/<str:value>", change),
    path("bulk/<int:stage>", change_in_bulk),
    path("silent/<int:stage>", announce_silently),
    path("modules", modules),
    path("", include("realtime.urls")),
]
