import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from core.models import AtomicModel
from features.values import TypedValue

PERCENTAGE_VALIDATORS = [MinValueValidator(0), MaxValueValidator(100)]


class MultivariateFeatureOption(TypedValue, AtomicModel):
    """A value of a multivariate feature, received by a percentage of the identities."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    feature = models.ForeignKey("features.Feature", on_delete=models.CASCADE, related_name="multivariate_options")
    default_percentage_allocation = models.FloatField(default=100, validators=PERCENTAGE_VALIDATORS)
    key = models.CharField(max_length=255, null=True, blank=True)

    class Meta:
        ordering = ["id"]


class MultivariateFeatureStateValue(AtomicModel):
    """The percentage of identities that receive an option, for one feature state. Called a share in this project."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    feature_state = models.ForeignKey(
        "features.FeatureState", on_delete=models.CASCADE, related_name="multivariate_feature_state_values"
    )
    multivariate_feature_option = models.ForeignKey(
        MultivariateFeatureOption, on_delete=models.CASCADE, related_name="multivariate_feature_state_values"
    )
    percentage_allocation = models.FloatField(validators=PERCENTAGE_VALIDATORS)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["feature_state", "multivariate_feature_option"], name="unique_option_of_state"
            )
        ]
