"""No password, token or signature of an address is shown or kept."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.common.addresses import has_secret, without_secrets
from asrmeter.common.errors import MOST_CHARACTERS, AsrmeterError, line, one_line
from asrmeter.sources import hub
from asrmeter.workflow.cli import PlainFormatter, aligned
from helpers.checkouts import ROOT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@127.0.0.1:9 cannot be reached", "https://***@127.0.0.1:9 cannot be reached"),
        ("'HTTP://Token@mirror.example/simple/'", "'HTTP://***@mirror.example/simple/'"),
        ("http://u:p@ss@h/x", "http://***@h/x"),
        ("http://u:p/s#s?s@h/x", "http://***@h/x"),
        ("http://u:12/s@h/x", "http://***@h/x"),
        (
            "http://:p@h, http://u:@h and http://u:p%40@[::1]:8080/",
            "http://***@h, http://***@h and http://***@[::1]:8080/",
        ),
        ("socks5h://u:p@h:1", "socks5h://***@h:1"),
        ("http:/u:p@h and http//u:p@h", "http:/***@h and http//***@h"),
        ("HTTPS_PROXY=user:pass@proxy:3128", "HTTPS_PROXY=***@proxy:3128"),
        ("cannot connect to 'user:pass@proxy'", "cannot connect to '***@proxy'"),
        ("https://h/x?token=abc&b=c (403)", "https://h/x (403)"),
        ("https://h/x?X-Amz-Signature=abc#part", "https://h/x#part"),
        ("https://h/#access_token=abc", "https://h/"),
        ("the token hf_abcdefghijklmnopqrstuv is bad", "the token hf_*** is bad"),
    ],
)
def test_what_gives_access_is_left_out(text: str, shown: str) -> None:
    assert without_secrets(text) == shown == without_secrets(shown)


@pytest.mark.parametrize(
    "text",
    [
        "https://[::1]:80/a/b",
        "git+https://github.com/a/b@v1",
        "mail me@example.org, at 12:30",
        "whisper-base/fp32/cpu/5s-b4: what? #1",
        "/data/a:b/c@d.wav",
        "a.wav: is missing; see https://huggingface.co/a/b",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert without_secrets(text) == text
    assert not has_secret(text)


@given(
    st.sampled_from(["http", "https", "socks5", "ftp", "s3"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="\"'<>/?#[:@"), min_size=1),
    st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="\"'<>"), min_size=1),
    st.sampled_from(["", " then", "/simple/", ":8080/x", "/a?b=c"]),
)
def test_no_password_is_shown(scheme: str, user: str, password: str, after: str) -> None:
    text = f"({scheme}://{user}SECRET:SECRET{password}@host.example{after})"
    for shown in (without_secrets(text), line(text), str(AsrmeterError(text)), one_line(ValueError(text))):
        assert "SECRET" not in shown
        assert "host.example" in shown


def test_every_message_of_the_log_is_one_line_without_secrets() -> None:
    record = logging.LogRecord("", logging.INFO, "", 1, "%s\n%s", ("http://u:pw@h/", "caf\udce9\x1b[31m"), None)
    assert PlainFormatter().format(record) == "http://***@h/\\ncaf\\xe9\\x1b[31m"
    assert aligned([["a\x1b", "b"], ["http://u:pw@h", "c"]]) == ["a\\x1b         b", "http://***@h  c"]


def test_errors_are_shown_as_a_line_for_each_fault() -> None:
    assert str(AsrmeterError("a\nb", "caf\udce9 http://u:pw@h")) == "a\\nb\ncaf\\xe9 http://***@h"
    assert len(str(AsrmeterError("a" * 10**6))) < MOST_CHARACTERS + 100


@pytest.mark.parametrize("endpoint", ["http://user:PW@127.0.0.1:9", "user:PW@127.0.0.1:9"])
def test_the_password_of_a_mirror_is_not_shown(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(AsrmeterError) as caught, hub.explained("dataset", "owner/name", "main"):
        raise ConnectionError(f"no route to {endpoint}/api?token=PW")
    assert "***@127.0.0.1:9" in str(caught.value)
    with pytest.raises(AsrmeterError) as other, hub.explained("dataset", "owner/name", "main"):
        raise RuntimeError(f"{endpoint}/api?token=PW")
    assert "PW" not in f"{caught.value} {other.value}"


def test_a_trace_that_nobody_expected_has_no_password(tmp_path: Path) -> None:
    script = (
        "from asrmeter.workflow.cli import run\ndef main():\n raise ValueError('http://u:PW@h\\x1b[31m')\nrun(main)"
    )
    environment = {"PYTHONPATH": str(ROOT / "scripts"), "ASRMETER_LOCK": str(tmp_path / "lock")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ValueError: http://***@h\\x1b[31m"
