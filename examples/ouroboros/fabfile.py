from oroboros_deploy.tasks import ns as ns
