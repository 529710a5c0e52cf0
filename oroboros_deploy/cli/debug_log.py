"""What Invoke logs with ``fab -d``: whole settings, whose secrets are hidden."""

from __future__ import annotations

import logging
import re

# Patterns are compiled by who logs something: all commands import this.
_TEXT = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
# By the key, or a misspelled one like it; a list or mapping where a text belongs is hidden to its end.
_SETTING = rf"(?i)(['\"][^'\"]*(?:url|pass|token|secret)[^'\"]*['\"]: )(?:{_TEXT}|\[[^\]]*\]|\{{[^}}]*\}})"
_LOGIN = r"(?<=:/)[^\s'\"]*@|[^\s'\"/]+:[^\s'\"/]*@(?=\S*/)"
_PARAMETER = r"(?i)(password=)[^&\s'\"]*"


def hide_secrets() -> None:
    """Hide secrets in all that is logged from now on; what Fabric read before the fabfile was logged already."""
    for name in ("invoke", "fabric"):
        logging.getLogger(name).addFilter(_hidden)


def _hidden(record: logging.LogRecord) -> bool:
    text = re.sub(_SETTING, r"\1'***'", record.getMessage())
    record.msg, record.args = re.sub(_PARAMETER, r"\1***", re.sub(_LOGIN, "***@", text)), ()
    return True
