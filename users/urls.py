from django.urls import path

from users import views

urlpatterns = [
    path("auth/login/", views.LoginView.as_view()),
    path("auth/logout/", views.LogoutView.as_view()),
    path("auth/token/", views.TokenView.as_view()),
    path("auth/users/", views.RegistrationView.as_view()),
    path("auth/users/me/", views.CurrentUserView.as_view()),
]
