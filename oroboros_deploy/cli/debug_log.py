"""What Invoke logs with ``fab -d``: whole settings, whose secrets are hidden."""

from __future__ import annotations

import logging
import re

_TEXT = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
# By the key, or a misspelled one like it; a list or mapping where a text belongs is hidden to its end.
_SETTING = re.compile(
    rf"(['\"][^'\"]*(?:url|pass|token|secret)[^'\"]*['\"]: )(?:{_TEXT}|\[[^\]]*\]|\{{[^}}]*\}})", re.IGNORECASE
)
_LOGIN = re.compile(r"(?<=:/)[^\s'\"]*@|[^\s'\"/]+:[^\s'\"/]*@(?=\S*/)")
_PARAMETER = re.compile(r"(?i)(password=)[^&\s'\"]*")


def hide_secrets() -> None:
    """Hide secrets in all that is logged from now on; what Fabric read before the fabfile was logged already."""
    for name in ("invoke", "fabric"):
        logging.getLogger(name).addFilter(_hidden)


def _hidden(record: logging.LogRecord) -> bool:
    text = _SETTING.sub(r"\1'***'", record.getMessage())
    record.msg, record.args = _PARAMETER.sub(r"\1***", _LOGIN.sub("***@", text)), ()
    return True
