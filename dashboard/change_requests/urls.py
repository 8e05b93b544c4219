from django.urls import path

from dashboard.change_requests import decisions, editing, listing, page

urlpatterns = [
    path("", listing.ChangeRequestsPage.as_view(), name="change-requests"),
    path("<int:change_request_pk>/", page.ChangeRequestPage.as_view(), name="change-request"),
    path("<int:change_request_pk>/edit/", editing.EditPage.as_view(), name="change-request-edit"),
    path("<int:change_request_pk>/schedule/", editing.Schedule.as_view(), name="change-request-schedule"),
    path("<int:change_request_pk>/approve/", decisions.Approve.as_view(), name="change-request-approve"),
    path("<int:change_request_pk>/withdraw/", decisions.Withdraw.as_view(), name="change-request-withdraw"),
    path("<int:change_request_pk>/commit/", decisions.Commit.as_view(), name="change-request-commit"),
    path("<int:change_request_pk>/delete/", decisions.DeletePage.as_view(), name="change-request-delete"),
]
