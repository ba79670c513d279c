"""
Measurements.

Needs: a model folder or its conversion for a runtime, the corpus
Makes: <results>/measurements/<model>/<variant>/<device>/<duration>s-b<batch>/lap<n>.parquet
Steps: lap by lap, one job for each cell, alone on the machine; a failed cell has a record too

A measurement depends on its own values and on the protocol, all in `params.cell`. Inputs count only by their fingerprint,
which is part of `params.cell`. No script is an input, so changed code never measures anything again. `resources` do not
count either: additional laps or cells measure nothing again.
"""


rule measure_cpu:
    "Measure one cell on the CPU in one lap."
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(sitting_of, "cpu"),
        manifest=SEGMENTS,
    output:
        "<results>/measurements/{model}/{variant}/cpu/{sitting}.parquet",
    log:
        "<results>/logs/measure/{model}/{variant}/cpu/{sitting}.log",
    priority: lambda wildcards: PLAN.laps.priorities[sitting_of(wildcards, "cpu").id]
    # The last attempts record that the cell kills its job.
    retries: PLAN.retries
    conda:
        environment_of
    threads: MEASURE_THREADS
    resources:
        **measuring_resources(mem_mb=memory_mb(sitting_of, "cpu")),
    params:
        cell=lambda wildcards: PLAN.measure_options(sitting_of(wildcards, "cpu")),
    shell:
        r"""
        python scripts/measure.py {params.cell:q} \
            --model-folder {input.model:q} \
            --converted-folder {input.converted:q} \
            --segments {input.manifest:q} \
            {resources.untracked} \
            --timeout-s {resources.timeout_s:q} \
            --attempt {resources.attempt_no:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


use rule measure_cpu as measure_cuda with:
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(sitting_of, "cuda"),
        manifest=SEGMENTS,
    output:
        "<results>/measurements/{model}/{variant}/cuda/{sitting}.parquet",
    log:
        "<results>/logs/measure/{model}/{variant}/cuda/{sitting}.log",
    priority: lambda wildcards: PLAN.laps.priorities[sitting_of(wildcards, "cuda").id]
    resources:
        **measuring_resources(mem_mb=memory_mb(sitting_of, "cuda")),
        gpu=1,
    params:
        cell=lambda wildcards: PLAN.measure_options(sitting_of(wildcards, "cuda")),
