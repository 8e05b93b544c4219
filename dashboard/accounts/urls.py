"""Registration, sign-in and sign-out, password reset, and the user's own account."""

from django.urls import path, re_path

from dashboard.accounts import account, password_reset, registration, sign_in

urlpatterns = [
    path("sign-in/", sign_in.SignInPage.as_view(), name="sign-in"),
    path("sign-in/code/", sign_in.CodePage.as_view(), name="sign-in-code"),
    path("sign-out/", sign_in.SignOut.as_view(), name="sign-out"),
    path("sign-up/", registration.SignUpPage.as_view(), name="sign-up"),
    re_path(rf"^{sign_in.INVITATION.pattern[1:]}$", registration.JoinPage.as_view(), name="join"),
    path("password-reset/", password_reset.PasswordResetPage.as_view(), name="password-reset"),
    # Without a trailing slash: the mails contain it in this form.
    path("password-reset/confirm/<str:uid>/<str:token>", password_reset.NewPasswordPage.as_view(), name="new-password"),
    path("account/", account.AccountPage.as_view(), name="account"),
    path("account/second-factor/", account.SecondFactorPage.as_view(), name="second-factor"),
    path("account/second-factor/end/", account.EndSecondFactor.as_view(), name="end-second-factor"),
]
