from rest_framework.routers import SimpleRouter

from core.paths import ENVIRONMENT_KEY, ID
from environment_documents.identity_flags.views import IdentityFeatureStateViewSet

router = SimpleRouter()
router.register(
    rf"environments/(?P<environment_api_key>{ENVIRONMENT_KEY})/identities/(?P<identity_pk>{ID})/featurestates",
    IdentityFeatureStateViewSet,
    basename="identity-featurestates",
)

urlpatterns = router.urls
