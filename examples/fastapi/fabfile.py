from oroboros_deploy.tasks import ns

__all__ = ["ns"]
