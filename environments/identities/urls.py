from rest_framework.routers import SimpleRouter
from rest_framework_nested.routers import NestedSimpleRouter

from core.paths import ENVIRONMENT_KEY
from environments.identities.traits.views import TraitViewSet
from environments.identities.views import IdentityViewSet

router = SimpleRouter()
router.register(
    rf"environments/(?P<environment_api_key>{ENVIRONMENT_KEY})/identities",
    IdentityViewSet,
    basename="environment-identities",
)

identity_router = NestedSimpleRouter(router, router.registry[0][0], lookup="identity")
identity_router.register("traits", TraitViewSet, basename="identities-traits")

urlpatterns = [*router.urls, *identity_router.urls]
