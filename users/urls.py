from django.urls import path

from users import password_views, second_factor_views, views

urlpatterns = [
    path("auth/login/", views.LoginView.as_view()),
    path("auth/login/code/", second_factor_views.CodeLoginView.as_view()),
    path("auth/logout/", views.LogoutView.as_view()),
    path("auth/token/", views.TokenView.as_view()),
    path("auth/users/", views.RegistrationView.as_view()),
    path("auth/users/me/", views.CurrentUserView.as_view()),
    path("auth/users/set_password/", password_views.SetPasswordView.as_view()),
    path("auth/users/reset_password/", password_views.ResetPasswordView.as_view()),
    path("auth/users/reset_password_confirm/", password_views.ResetPasswordConfirmView.as_view()),
    path("auth/app/activate/", second_factor_views.ActivationView.as_view()),
    path("auth/app/activate/confirm/", second_factor_views.ConfirmationView.as_view()),
    path("auth/app/deactivate/", second_factor_views.DeactivationView.as_view()),
    path("auth/mfa/user-active-methods/", second_factor_views.ActiveMethodsView.as_view()),
]
