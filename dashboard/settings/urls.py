from django.urls import path

from dashboard.import_export import pages as import_export
from dashboard.permissions import pages as permissions
from dashboard.permissions.urls import permission_urls
from dashboard.settings import general, sdk, tags
from dashboard.webhooks.project import ProjectWebhooks

urlpatterns = [
    path("", general.GeneralPage.as_view(), name="project-settings"),
    path("delete/", general.DeletePage.as_view(), name="project-delete"),
    path("sdk/", sdk.SDKPage.as_view(), name="sdk-settings"),
    path("sdk/realtime/", sdk.RealtimeSwitch.as_view(), name="realtime"),
    path("sdk/keys/", sdk.NewKey.as_view(), name="server-key-create"),
    path("sdk/keys/<int:key_pk>/", sdk.EditKey.as_view(), name="server-key"),
    path("sdk/keys/<int:key_pk>/revoke/", sdk.RevokeKey.as_view(), name="server-key-revoke"),
    path("tags/", tags.TagsPage.as_view(), name="tags"),
    path("tags/new/", tags.NewTag.as_view(), name="tag-create"),
    path("tags/<int:tag_pk>/", tags.TagForm.as_view(), name="tag"),
    path("tags/<int:tag_pk>/delete/", tags.DeleteTag.as_view(), name="tag-delete"),
    path("webhooks/", ProjectWebhooks.as_view(), name="project-webhooks"),
    path("import-export/", import_export.ImportExportPage.as_view(), name="import-export"),
    path("import-export/export/", import_export.Export.as_view(), name="feature-export"),
    path("import-export/exports/<int:export_pk>/", import_export.Download.as_view(), name="feature-export-download"),
    path("import-export/import/", import_export.Import.as_view(), name="feature-import"),
    *permission_urls(
        permissions.ProjectPermissions, permissions.ProjectUserPermissions, permissions.ProjectGroupPermissions
    ),
]
