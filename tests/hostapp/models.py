from django.db import models
from django.utils import timezone


class Product(models.Model):
    live = models.BooleanField(default=True)

    class Meta:
        app_label = "hostapp"


class Stage(models.Model):
    """The host's environments, without ``revision``."""

    api_key = models.CharField(max_length=50, unique=True)
    updated_at = models.DateTimeField(default=timezone.now, db_index=True)
    product = models.ForeignKey(Product, on_delete=models.CASCADE)

    class Meta:
        app_label = "hostapp"


class Switch(models.Model):
    """The host's flags."""

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE)
    on = models.BooleanField(default=False)
    note = models.TextField(default="")

    class Meta:
        app_label = "hostapp"
