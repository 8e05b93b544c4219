from django.urls import path

from dashboard.settings import general, sdk

urlpatterns = [
    path("", general.GeneralPage.as_view(), name="project-settings"),
    path("delete/", general.DeletePage.as_view(), name="project-delete"),
    path("sdk/", sdk.SDKPage.as_view(), name="sdk-settings"),
    path("sdk/realtime/", sdk.RealtimeSwitch.as_view(), name="realtime"),
    path("sdk/keys/", sdk.NewKey.as_view(), name="server-key-create"),
    path("sdk/keys/<int:key_pk>/revoke/", sdk.RevokeKey.as_view(), name="server-key-revoke"),
]
