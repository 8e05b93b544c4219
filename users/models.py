import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models

from core.actor import Actor


class UserManager(BaseUserManager["FFAdminUser"]):
    """Creates users and finds them by e-mail address, which is stored in lower case: its case does not matter."""

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
    """A user of the dashboard and the Admin API."""

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

    must_set_up_second_factor = False
    """True if one of the user's organisations requires a second factor and the user has none. Set by the
    authentication of a request."""

    class Meta:
        ordering = ["id"]

    def as_actor(self) -> Actor:
        return Actor(author_id=self.pk)


class UserPermissionGroup(models.Model):
    """A group of users of one organisation. Each member has the group's permissions."""

    name = models.CharField(max_length=200)
    organisation = models.ForeignKey(
        "organisations.Organisation", on_delete=models.CASCADE, related_name="permission_groups"
    )
    users = models.ManyToManyField(
        FFAdminUser, related_name="permission_groups", blank=True, through="users.UserPermissionGroupMembership"
    )
    is_default = models.BooleanField(default=False)
    """New members of the organisation are added to the group."""
    external_id = models.CharField(max_length=255, null=True, blank=True)
    """The group's id in an external system with which groups are synchronised."""

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "external_id"], name="unique_group_external_id"),
        ]

    def __str__(self) -> str:
        return self.name


class UserPermissionGroupMembership(models.Model):
    """A user's membership of a group. A group admin may change the group and its members."""

    userpermissiongroup = models.ForeignKey(UserPermissionGroup, on_delete=models.CASCADE, related_name="memberships")
    ffadminuser = models.ForeignKey(FFAdminUser, on_delete=models.CASCADE, related_name="group_memberships")
    group_admin = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["userpermissiongroup", "ffadminuser"], name="unique_group_membership"),
        ]


class BackupCode(models.Model):
    """A code that replaces the second factor once.

    Only its hash is stored. Django OTP would store such codes in plain text.
    """

    user = models.ForeignKey(FFAdminUser, on_delete=models.CASCADE, related_name="backup_codes")
    digest = models.CharField(max_length=64)
    """SHA-256 in hexadecimal digits. A code has 93 random bits, so it needs no slow hash and no salt."""

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="unique_backup_code")]
