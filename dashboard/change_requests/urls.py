from django.urls import path

from dashboard.change_requests import actions, detail, editing, listing

urlpatterns = [
    path("", listing.ChangeRequestsPage.as_view(), name="change-requests"),
    path("<int:change_request_pk>/", detail.DetailPage.as_view(), name="change-request"),
    path("<int:change_request_pk>/edit/", editing.EditPage.as_view(), name="change-request-edit"),
    path("<int:change_request_pk>/schedule/", editing.Schedule.as_view(), name="change-request-schedule"),
    path("<int:change_request_pk>/approve/", actions.Approve.as_view(), name="change-request-approve"),
    path("<int:change_request_pk>/withdraw/", actions.Withdraw.as_view(), name="change-request-withdraw"),
    path("<int:change_request_pk>/commit/", actions.Commit.as_view(), name="change-request-commit"),
    path("<int:change_request_pk>/delete/", actions.DeletePage.as_view(), name="change-request-delete"),
]
