"""asrmeter: which speech-recognition model to run on which device at which batch size. A table of contents."""

from snakemake.utils import min_version

min_version("9.20")


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/study.smk"
include: "rules/corpus.smk"
include: "rules/models.smk"
include: "rules/flops.smk"
include: "rules/measure.smk"
include: "rules/retry.smk"
include: "rules/profile.smk"
include: "rules/silence.smk"
include: "rules/load.smk"
include: "rules/layouts.smk"
include: "rules/ceilings.smk"
include: "rules/analysis.smk"
include: "rules/report.smk"
include: "rules/compare.smk"
include: "rules/noise.smk"
include: "rules/hooks.smk"


rule all:
    default_target: True
    input:
        "<results>/report.html",
        "<results>/answer.txt",
        "<results>/study.json",
        # Listed here too, so that a cell, layout or load test with a deleted file is measured again.
        ALL_SITTINGS,
        LAYOUTS,
        LOAD_TESTS,


rule fetch:
    "Download only speech and weights, to be copied to a machine without a network."
    input:
        f"<results>/corpus/{PLAN.corpus}/segments.json",
        expand("<results>/models/{model}", model=STUDY.models),
        PLAN.archives(["openai-whisper"]),
