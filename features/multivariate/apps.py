from django.apps import AppConfig


class MultivariateConfig(AppConfig):
    name = "features.multivariate"
    label = "multivariate"
