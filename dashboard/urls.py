"""URLs of all pages. Pages about one environment are below that environment, other pages of a project below it."""

from django.urls import include, path, re_path

from core import paths
from dashboard import creation
from dashboard.home import HomePage, ProjectHome
from dashboard.pages import NotFoundPage
from dashboard.window_streams import StreamPage

app_name = "dashboard"

PROJECT = rf"^projects/(?P<project_pk>{paths.ID})/"
ENVIRONMENT = rf"{PROJECT}environments/(?P<environment_api_key>{paths.ENVIRONMENT_KEY})/"

urlpatterns = [
    path("", HomePage.as_view(), name="home"),
    path("", include("dashboard.accounts.urls")),
    path("organisations/new/", creation.NewOrganisationPage.as_view(), name="new-organisation"),
    path("projects/new/", creation.NewProjectPage.as_view(), name="new-project"),
    re_path(rf"{PROJECT}environments/new/$", creation.NewEnvironmentPage.as_view(), name="new-environment"),
    re_path(rf"{PROJECT}$", ProjectHome.as_view(), name="project"),
    re_path(rf"{ENVIRONMENT}features/", include("dashboard.features.urls")),
    re_path(rf"{ENVIRONMENT}change-requests/", include("dashboard.change_requests.urls")),
    re_path(ENVIRONMENT, include("dashboard.identities.urls")),
    re_path(rf"{ENVIRONMENT}first-steps/", include("dashboard.first_steps.urls")),
    re_path(rf"{ENVIRONMENT}stream/$", StreamPage.as_view(), name="stream"),
    re_path(rf"{ENVIRONMENT}live/", include("dashboard.streams.urls")),
    re_path(rf"{ENVIRONMENT}settings/", include("dashboard.settings.environment_urls")),
    re_path(rf"{PROJECT}segments/", include("dashboard.segments.urls")),
    re_path(rf"{PROJECT}compare/", include("dashboard.comparison.urls")),
    re_path(rf"{PROJECT}audit-log/", include("dashboard.audit.urls")),
    re_path(rf"{PROJECT}settings/", include("dashboard.settings.urls")),
    re_path(rf"^organisations/(?P<organisation_pk>{paths.ID})/usage/", include("dashboard.usage.urls")),
    re_path(rf"^organisations/(?P<organisation_pk>{paths.ID})/settings/", include("dashboard.organisations.urls")),
    # The catch-all excludes the paths for programs, whose errors are JSON.
    re_path(r"^(?!api/|sse/|health/|static/|metrics$|version)", NotFoundPage.as_view(), name="not-found"),
]
