"""The usage page of an organisation: billable requests and stream connections by day."""

from datetime import date, timedelta

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from app_analytics import usage
from app_analytics.models import BILLABLE
from dashboard.scoped_pages import OrganisationPage
from dashboard.usage import plot
from projects.access import visible_projects

PERIODS = (7, 30, 90)
"""In days."""

KINDS = {resource.name.lower(): resource.label for resource in BILLABLE}

Figures = dict[date, dict[str, int]]


class UsagePage(OrganisationPage):
    """Plots and a table of the same figures, for admins of the organisation."""

    template = "dashboard/usage/usage.html"
    tab = "usage"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if not self.is_organisation_admin:
            raise PermissionDenied("The figures are for admins of the organisation.")
        requests, streams = self._requests(), self._streams()
        days = [
            {"day": day, "numbers": list(numbers.values()), "total": sum(numbers.values()), "streams": streams[day]}
            for day, numbers in requests.items()
        ]
        totals = {kind: sum(numbers[kind] for numbers in requests.values()) for kind in KINDS}
        return self.render(
            kinds=[{"name": name, "label": label, "total": totals[name]} for name, label in KINDS.items()],
            requests=plot.stacked(list(requests.items())),
            streams=plot.stacked([(day, {"streams": number}) for day, number in streams.items()]),
            total=sum(totals.values()),
            streams_opened=sum(streams.values()),
            days=days[::-1],
            period=self.period,
            periods=PERIODS,
            projects=visible_projects(self.user).filter(organisation=self.organisation.pk).order_by("name"),
        )

    @property
    def period(self) -> int:
        value = self.request.GET.get("days", "")
        return next((days for days in PERIODS if str(days) == value), usage.DEFAULT_DAYS)

    @property
    def query(self) -> usage.UsageFilter:
        """The query for the shortest of the API's periods that covers ``period``."""
        project = None if self.project_page is None else self.project_page.project.pk
        return usage.UsageFilter(project, period=None if self.period <= usage.DEFAULT_DAYS else usage.NINETY_DAY_PERIOD)

    def _days(self) -> list[date]:
        today = timezone.now().date()
        return [today - timedelta(days=ago) for ago in reversed(range(self.period))]

    def _requests(self) -> Figures:
        """By day and kind, summed over the clients' labels."""
        figures: Figures = {day: dict.fromkeys(KINDS, 0) for day in self._days()}
        for row in usage.requests(self.organisation, self.query):
            for kind in KINDS if row["day"] in figures else ():
                figures[row["day"]][kind] += row[kind]
        return figures

    def _streams(self) -> dict[date, int]:
        figures = dict.fromkeys(self._days(), 0)
        for row in usage.streams(self.organisation, self.query):
            if row["day"] in figures:
                figures[row["day"]] += row["count"]
        return figures
