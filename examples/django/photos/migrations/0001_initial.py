from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            "Photo",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("file", models.FileField(upload_to="")),
                ("digest", models.CharField(max_length=64, blank=True)),
            ],
        ),
        migrations.CreateModel(
            "Tick",
            [
                ("release", models.CharField(max_length=40, primary_key=True)),
                ("at", models.DateTimeField(auto_now=True)),
            ],
        ),
    ]
