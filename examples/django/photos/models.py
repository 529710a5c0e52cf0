from django.db import models


class Photo(models.Model):
    file = models.FileField()
    digest = models.CharField(max_length=64, blank=True)  # written by a task


class Tick(models.Model):
    release = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField(auto_now=True)
