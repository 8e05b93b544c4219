"""The change requests of an environment, newest first."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from dashboard.change_requests import reading
from dashboard.change_requests.progress import given_approvals, planned_for, progress_of
from dashboard.places import EnvironmentPage
from features.workflows.core.models import ChangeRequest
from features.workflows.core.views import filter_requests

PAGE_SIZE = 25

LABELS = {
    reading.OPEN: "Open",
    reading.SCHEDULED: "Scheduled",
    reading.COMMITTED: "Committed",
    reading.ALL: "All",
}

# Of a request with many places, so many are named.
NAMED = 3


class Counted(Paginator):
    """Of requests whose number is known."""

    def __init__(self, *args: object, number: int) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.count = number


class ChangeRequestsPage(EnvironmentPage):
    """``?show=`` one of LABELS, ``search`` in the titles, ``page``."""

    template = "dashboard/change_requests/list.html"
    tab = "change-requests"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        shown = request.GET.get("show", reading.OPEN)
        shown = shown if shown in LABELS else reading.OPEN
        search = request.GET.get("search", "").replace("\0", "").strip()
        requests = filter_requests(reading.requests_of(self.environment), {"search": search} if search else {})
        numbers = reading.numbers(requests)
        of_kind = requests.filter(reading.KINDS[shown])
        page = Counted(of_kind, PAGE_SIZE, number=numbers[shown]).get_page(request.GET.get("page"))
        return self.show(
            requests=[self._row(each) for each in page],
            slice=page,
            shown=shown,
            search=search,
            tabs=[(kind, label, numbers[kind]) for kind, label in LABELS.items()],
            has_any=bool(numbers[reading.ALL]) or bool(search),
        )

    def _row(self, request: ChangeRequest) -> dict[str, object]:
        request.environment = self.environment
        changes = list(request.changes.all())
        return {
            "request": request,
            "author": reading.person(request.user),
            "progress": progress_of(request),
            "places": changes[:NAMED],
            "more": max(0, len(changes) - NAMED),
            "given": given_approvals(request),
            "planned_for": None if request.is_committed else planned_for(request),
        }
