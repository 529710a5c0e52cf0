"""Settings as somebody wrote them into a fabric.yaml: read, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from oroboros_deploy.config import Config, load
from oroboros_deploy.errors import ConfigError

FILE = "/app/fabric.yaml"
FROM_FILE = "fabric.yaml (/app/fabric.yaml)"
PROD = {"prod": {"hosts": ["web1", "web2"], "root": "/srv/prod", "healthcheck": {"timeout": 5}}}


def from_file(data: Mapping[str, Any], **more: Any) -> Config:
    return load([(FILE, data)], {}, **more)


def refusal(data: Any, **more: Any) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        from_file(data, **more)
    assert refused.value.message.startswith("nothing was changed: ")
    assert refused.value.hint
    return refused.value
