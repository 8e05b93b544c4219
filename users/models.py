import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models


class UserManager(BaseUserManager["FFAdminUser"]):
    """Users by e-mail address, kept in lower case: ``A@b.c`` and ``a@b.c`` are one person."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "FFAdminUser":
        user = self.model(email=email.lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "FFAdminUser":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "FFAdminUser":
        return self.get(email=(username or "").lower())


class FFAdminUser(AbstractUser):
    """A person who signs in: to the dashboard, or by a token to the Admin API."""

    class SignUpType(models.TextChoices):
        NO_INVITE = "NO_INVITE"
        INVITE_EMAIL = "INVITE_EMAIL"
        INVITE_LINK = "INVITE_LINK"

    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    first_name = models.CharField(max_length=150)
    last_name = models.CharField(max_length=150)
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    sign_up_type = models.CharField(max_length=100, choices=SignUpType.choices, null=True, blank=True)
    marketing_consent_given = models.BooleanField(default=True)
    organisations = models.ManyToManyField(
        "organisations.Organisation", related_name="users", blank=True, through="organisations.UserOrganisation"
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["first_name", "last_name"]

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta:
        ordering = ["id"]
