"""Google's client library is loaded without what takes time and nobody uses."""

from __future__ import annotations

import subprocess
import sys

LOAD = """
import sys
import vodtender.clients.youtube.api
assert "pyparsing" not in sys.modules
import httplib2
said = {"www-authenticate": 'Basic realm="here"'}
assert httplib2.auth._parse_www_authenticate(said) == {"basic": {"realm": "here"}}
"""


def test_httplib2s_grammar_is_loaded_when_somebody_uses_it_and_not_before() -> None:
    subprocess.run([sys.executable, "-c", LOAD], check=True)
