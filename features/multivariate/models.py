import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from core.models import AtomicModel
from features.values import TypedValue

PERCENTAGE = [MinValueValidator(0), MaxValueValidator(100)]


class MultivariateFeatureOption(TypedValue, AtomicModel):
    """One of the values that a multivariate feature gives to a share of the identities."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    feature = models.ForeignKey("features.Feature", on_delete=models.CASCADE, related_name="multivariate_options")
    default_percentage_allocation = models.FloatField(default=100, validators=PERCENTAGE)
    key = models.CharField(max_length=255, null=True, blank=True)

    class Meta:
        ordering = ["id"]


class MultivariateFeatureStateValue(AtomicModel):
    """The share of the identities, in percent, that gets an option under a feature state."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    feature_state = models.ForeignKey(
        "features.FeatureState", on_delete=models.CASCADE, related_name="multivariate_feature_state_values"
    )
    multivariate_feature_option = models.ForeignKey(
        MultivariateFeatureOption, on_delete=models.CASCADE, related_name="multivariate_feature_state_values"
    )
    percentage_allocation = models.FloatField(validators=PERCENTAGE)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["feature_state", "multivariate_feature_option"], name="unique_option_of_state"
            )
        ]
