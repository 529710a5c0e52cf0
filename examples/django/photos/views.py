from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.timezone import now

from photos.models import Photo, Tick
from photos.tasks import digest


def index(request: HttpRequest) -> HttpResponse:
    return render(request, "photos/index.html")


def health(_request: HttpRequest) -> JsonResponse:
    """Healthy is a web server whose database is there, and whose worker did what beat asked for just now."""
    ticked = Tick.objects.filter(release=settings.RELEASE, at__gt=now() - timedelta(seconds=10)).exists()
    return JsonResponse({"release": settings.RELEASE, "ticked": ticked}, status=200 if ticked else 503)


def photos(request: HttpRequest) -> JsonResponse:
    if request.method == "POST":
        photo = Photo.objects.create(file=request.FILES["file"])
        digest.delay(photo.pk)
    return JsonResponse({photo.file.url: photo.digest for photo in Photo.objects.all()})
