"""Runtimes that are not torch, from corpus to report: the file that the documentation prints, and a module."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from asrmeter.common.files import sha256_of
from asrmeter.common.table_types import Row
from asrmeter.records import cell_record
from helpers.checkouts import ROOT, Checkout, MakeCheckout, small

pytestmark = pytest.mark.pipeline

# What a runtime of the project is: a module, and nothing said of it anywhere else.
MODULE = '''
"""Hears nothing, in numpy."""
import sys
from dataclasses import dataclass, field
from typing import ClassVar, Literal
import numpy as np
from asrmeter.runtimes.base import RUNTIME, Effective, Hypothesis, Runtime, RuntimeOptions, options_config

@dataclass(frozen=True, kw_only=True)
class NumpyOptions(RuntimeOptions):
    """How numpy runs a model."""
    __pydantic_config__: ClassVar = options_config("numpy_alone", "Run by numpy.")
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    runtime: Literal["numpy_alone"] = field(metadata=RUNTIME)
    gain: float = field(default=1.0, metadata={"description": "What waveforms are multiplied by."})

OPTIONS = NumpyOptions

class NumpyRuntime(Runtime):
    packages = ("numpy",)
    def __init__(self, setup):
        self.gain = setup.options["gain"]
    def transcribe(self, speech, timeline):
        for stage in ("features", "encoder", "decoder", "text"):
            timeline.begin(stage)
            loud = [np.abs(np.fft.rfft(self.gain * waveform)).sum() for waveform in speech.waveforms]
        return [Hypothesis("nothing", n_tokens=1, n_windows=1, processed_s=len(w) / 16_000) for w in speech.waveforms]
    def decoding(self):
        return {"imports": sorted({"torch", "transformers", "codecarbon", "pandas"} & set(sys.modules))}
    def effective(self):
        return Effective("float32", 1, f"numpy {np.__version__}")

def load(setup):
    return NumpyRuntime(setup)

def preload():
    pass
'''


class Answer(BaseHTTPRequestHandler):
    """Says the same about every recording."""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        said = b'{"text": "and so my fellow americans"}' if content[:4] == b"RIFF" else b"{}"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def printed(language: str) -> str:
    """Return what the documentation prints in a language."""
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "own-runtime.md").read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture(scope="module")
def own(make_checkout: MakeCheckout, finished: Checkout, url: str) -> Checkout:
    """A checkout whose study has the documentation's file and a module as runtimes, run from corpus to report."""
    checkout = make_checkout("own_runtime", finished)
    (checkout.folder / "my_engine.py").write_text(printed("python"))
    (checkout.folder / "scripts" / "asrmeter" / "runtimes" / "numpy_alone.py").write_text(MODULE)
    example = yaml.safe_load(printed("yaml"))
    variants = example["variants"] | {"numbers": {"runtime": "numpy_alone"}, "fp32": {}}
    variants["http"]["runtime"]["options"]["url"] = url
    study = small(models=example["models"], variants=variants, batch_sizes=[2])
    study["protocol"]["laps"] = 1
    checkout.write(study | {"profile": {"durations_s": []}})
    checkout.run(limit_s=300, no_proxy="127.0.0.1", NO_PROXY="127.0.0.1")
    return checkout


def row(checkout: Checkout, variant: str, table: str = "cells") -> Row:
    rows = pq.read_table(checkout.results / "tables" / f"{table}.parquet").to_pylist()
    (found,) = (one for one in rows if one["variant"] == variant)
    return found


def test_example_of_the_documentation_is_short() -> None:
    assert printed("python").count("\n") <= 30
    assert yaml.safe_load(printed("yaml"))["models"] == {"my-model": {"weights": "external"}}


def test_file_of_ones_own_is_a_row(own: Checkout, url: str) -> None:
    found = row(own, "http")
    assert found["status"] in ("ok", "unconverged"), found["reason"]
    assert (found["runtime"], found["library"]) == ("my_engine.py", f"the server at {url}")
    assert found["latency_s_median"] > 0 and found["wer"] > 0 and found["peak_rss_bytes"] < 150e6
    # What the file does not say is empty, with a reason where there is one.
    unknown = ("encoder_s_median", "stage_coverage", "n_tokens_mean", "tokens_per_s", "dtype", "gflop_per_sample")
    assert {name: found[name] for name in unknown} == dict.fromkeys(unknown)
    assert found["gflop_note"] == "its runtime does not say how many windows it ran"
    header, _ = cell_record.read(own.record("my-model/http/cpu/5s-b2/lap1"))
    assert header.options["runtime"]["sha256"] == sha256_of(own.folder / "my_engine.py")


def test_module_is_a_runtime_found_by_name(own: Checkout) -> None:
    found = row(own, "numbers")
    assert found["status"] in ("ok", "unconverged"), found["reason"]
    assert (found["runtime"], found["dtype"]) == ("numpy_alone", "float32")
    assert found["stage_coverage"] > 0.9 and found["n_windows_mean"] == 1
    # Neither torch nor the meter is part of what its memory figure counts.
    assert json.loads(found["decoding"]) == {"imports": []}
    assert set(json.loads(found["library_versions"])) == {"numpy", "codecarbon"}
    assert found["torch_version"] is None and found["peak_rss_bytes"] < 150e6


def test_model_that_is_elsewhere_is_run_by_no_other(own: Checkout) -> None:
    found = row(own, "fp32")
    assert found["status"] == "unsupported" and "only your own engine can run it" in found["reason"]
    assert (found["family"], found["has_decoder"], found["weights"]) == ("external", None, "pretrained")


def test_report_shows_other_runtimes(own: Checkout) -> None:
    page = (own.results / "report.html").read_text()
    for variant in ("http", "numbers"):
        assert f"<b>my-model</b> ({variant}) on cpu, batch 2" in page


def test_changed_engine_measures_its_cells_alone(own: Checkout) -> None:
    engine = own.folder / "my_engine.py"
    before = engine.read_text()
    try:
        engine.write_text(before + "# another version\n")
        ran = own.run("--dry-run")
    finally:
        engine.write_text(before)
    assert ran.jobs["measure_cpu"] == 1 and "my-model/http/cpu/5s-b2" in ran.output
    assert "numbers/cpu/5s-b2/lap1.parquet" not in re.sub(r"(?m)^ +input: .*", "", ran.output.partition("Job stats")[0])
    assert "measure_cpu" not in own.plan()
