import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models

from core.actor import Actor


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

    owes_second_factor = False
    """Whether one of the user's organisations wants a second factor that the user has not got. Only the
    authentication of a request finds out."""

    class Meta:
        ordering = ["id"]

    def as_actor(self) -> Actor:
        return Actor(author_id=self.pk)


class UserPermissionGroup(models.Model):
    """Users of one organisation, for whoever gives permissions: what a group may do, each of its members may do."""

    name = models.CharField(max_length=200)
    organisation = models.ForeignKey(
        "organisations.Organisation", on_delete=models.CASCADE, related_name="permission_groups"
    )
    users = models.ManyToManyField(
        FFAdminUser, related_name="permission_groups", blank=True, through="users.UserPermissionGroupMembership"
    )
    # Whether those who join the organisation from now on join the group too.
    is_default = models.BooleanField(default=False)
    # Its name in the system that it is kept in step with, if there is one.
    external_id = models.CharField(max_length=255, null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "external_id"], name="unique_group_external_id"),
        ]

    def __str__(self) -> str:
        return self.name


class UserPermissionGroupMembership(models.Model):
    """That a user belongs to a group; a group admin may change it and who else belongs to it."""

    userpermissiongroup = models.ForeignKey(UserPermissionGroup, on_delete=models.CASCADE, related_name="memberships")
    ffadminuser = models.ForeignKey(FFAdminUser, on_delete=models.CASCADE, related_name="group_memberships")
    group_admin = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["userpermissiongroup", "ffadminuser"], name="unique_group_membership"),
        ]


class BackupCode(models.Model):
    """A code that stands in for the second factor once. Only its hash is stored.

    Django OTP has such codes too, in the clear.
    """

    user = models.ForeignKey(FFAdminUser, on_delete=models.CASCADE, related_name="backup_codes")
    digest = models.CharField(max_length=64)
    """SHA-256 in hexadecimal digits. A code is as random as a key, so it needs no slow hash and no salt."""

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="unique_backup_code")]
