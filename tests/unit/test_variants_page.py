"""The page of variants: its options are those of the code, and a study can say what it shows."""

import re
from typing import Any

import pytest
import yaml

from asrmeter.study.validation import with_defaults
from tools import variants

TEXT = variants.PATH.read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)]


def test_the_options_are_those_of_the_code() -> None:
    assert variants.text() == TEXT, "make schema"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: ",".join(example["variants"]))
def test_a_study_can_say_what_the_page_shows(example: dict[str, Any]) -> None:
    models = {"whisper-base": {"weights": "packaged"}}
    study = with_defaults({"name": "a", "models": models, "durations_s": [5], "batch_sizes": [1], **example}, "a test")
    assert [*study.variants] == [*example["variants"]]
