from gallery.celery import app

__all__ = ["app"]
