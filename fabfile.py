"""The tasks of oroboros_deploy, as they are."""

from oroboros_deploy.tasks import ns

__all__ = ["ns"]
