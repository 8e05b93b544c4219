"""The change requests of an environment, newest first."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from dashboard.change_requests import queries
from dashboard.change_requests.progress import planned_for, progress_of
from dashboard.scoped_pages import EnvironmentPage
from features.workflows.core.models import ChangeRequest
from features.workflows.core.views import filter_requests

PAGE_SIZE = 25

LABELS = {
    queries.OPEN: "Open",
    queries.SCHEDULED: "Scheduled",
    queries.COMMITTED: "Committed",
    queries.ALL: "All",
}

MAX_TARGETS_SHOWN = 3


class CountedPaginator(Paginator):
    """A paginator with a given count, which saves its query."""

    def __init__(self, *args: object, count: int) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.count = count


class ChangeRequestsPage(EnvironmentPage):
    """The list. Query: ``show`` (a key of LABELS), ``search`` (in titles), ``page``."""

    template = "dashboard/change_requests/list.html"
    tab = "change-requests"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        kind = request.GET.get("show", queries.OPEN)
        kind = kind if kind in LABELS else queries.OPEN
        search = self.search
        requests = filter_requests(queries.requests_of(self.environment), {"search": search} if search else {})
        counts = queries.counts(requests)
        of_kind = requests.filter(queries.KINDS[kind])
        page = CountedPaginator(of_kind, PAGE_SIZE, count=counts[kind]).get_page(request.GET.get("page"))
        return self.render(
            requests=[self._row(each) for each in page],
            slice=page,
            kind=kind,
            search=search,
            tabs=[(each, label, counts[each]) for each, label in LABELS.items()],
            has_any=bool(counts[queries.ALL]) or bool(search),
        )

    def _row(self, request: ChangeRequest) -> dict[str, object]:
        request.environment = self.environment
        changes = request.all_changes
        return {
            "request": request,
            "author": queries.display_name(request.user),
            "progress": progress_of(request),
            "targets": changes[:MAX_TARGETS_SHOWN],
            "more": max(0, len(changes) - MAX_TARGETS_SHOWN),
            "planned_for": None if request.is_committed else planned_for(request),
        }
