import hashlib

from celery import shared_task
from django.conf import settings

from photos.models import Photo, Tick


@shared_task
def tick() -> None:
    """Say that beat, the broker and this release's worker work together."""
    Tick.objects.update_or_create(release=settings.RELEASE)


@shared_task
def digest(photo: int) -> None:
    """Note what the file of a photo is, which a visitor does not wait for."""
    found = Photo.objects.get(pk=photo)
    found.digest = hashlib.sha256(found.file.read()).hexdigest()
    found.save()
