from django.conf import settings
from django.urls import path
from django.views.static import serve
from photos import views

urlpatterns = [
    path("", views.index),
    path("health/", views.health),
    path("photos/", views.photos),
    path("media/<path:path>", serve, {"document_root": settings.MEDIA_ROOT}),
]
