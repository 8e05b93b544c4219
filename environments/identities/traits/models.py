from django.db import models

TraitValue = str | int | bool | float | None


class Trait(models.Model):
    """A property of an identity, set by the application. Segments have conditions on traits. No event is published."""

    class ValueType(models.TextChoices):
        INTEGER = "int"
        STRING = "unicode"
        BOOLEAN = "bool"
        FLOAT = "float"

    identity = models.ForeignKey("identities.Identity", on_delete=models.CASCADE, related_name="identity_traits")
    trait_key = models.CharField(max_length=200)
    value_type = models.CharField(max_length=10, choices=ValueType.choices, default=ValueType.STRING)
    boolean_value = models.BooleanField(null=True, blank=True)
    integer_value = models.BigIntegerField(null=True, blank=True)
    string_value = models.CharField(max_length=2000, null=True, blank=True)
    float_value = models.FloatField(null=True, blank=True)
    created_date = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["identity", "trait_key"], name="unique_trait_key")]

    @property
    def trait_value(self) -> TraitValue:
        """The value in its own JSON type."""
        match self.value_type:
            case self.ValueType.INTEGER:
                return self.integer_value
            case self.ValueType.BOOLEAN:
                return self.boolean_value
            case self.ValueType.FLOAT:
                return self.float_value
        return self.string_value

    @trait_value.setter
    def trait_value(self, value: TraitValue) -> None:
        self.integer_value = self.boolean_value = self.float_value = self.string_value = None
        match value:
            case bool():
                self.value_type, self.boolean_value = self.ValueType.BOOLEAN, value
            case int():
                self.value_type, self.integer_value = self.ValueType.INTEGER, value
            case float():
                self.value_type, self.float_value = self.ValueType.FLOAT, value
            case _:
                self.value_type, self.string_value = self.ValueType.STRING, value
