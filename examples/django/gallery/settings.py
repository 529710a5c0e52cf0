import os
from pathlib import Path

# Services start in `current`; resolved, this is the release that the process keeps, and its name is the commit.
BASE_DIR = Path(__file__).resolve().parent.parent
RELEASE = BASE_DIR.name

SECRET_KEY = os.environ.get("SECRET_KEY", "")  # a build has none, and collectstatic needs none
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "").split()
INSTALLED_APPS = ["django.contrib.staticfiles", "photos"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "whitenoise.middleware.WhiteNoiseMiddleware"]
ROOT_URLCONF = "gallery.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
USE_TZ = True

# The release is read-only. What is written lies in shared places, which are links in each release.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "data/photos.sqlite3",
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},  # several processes write
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_URL = "/media/"
MEDIA_ROOT = BASE_DIR / "media"

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Messages lie in a database of their own, which keeps each of them. Who has more than a few a minute wants Redis or
# RabbitMQ: that is one line, CELERY_BROKER_URL.
CELERY_BROKER_URL = f"sqla+sqlite:///{BASE_DIR}/data/broker.sqlite3"
CELERY_BROKER_TRANSPORT_OPTIONS = {"connect_args": {"timeout": 20}}
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULE_FILENAME = str(BASE_DIR / "data/beat")
CELERY_BEAT_SCHEDULE = {"tick": {"task": "photos.tasks.tick", "schedule": 1.0, "options": {"expires": 10}}}
