"""
Profiles: how the operators share the time of a pass.

Needs: a model folder, the corpus
Makes: <results>/profiles/<model>/<variant>/<device>/<duration>s-b<batch>.{parquet,trace.json.gz}
Steps: one job for each profiled cell, alone on the machine, never within a measurement
"""


rule profile_cpu:
    "Profile the operators of one cell on the CPU: a table and a trace."
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(cell_of, "cpu"),
        manifest=SEGMENTS,
    output:
        operators="<results>/profiles/{model}/{variant}/cpu/{size}.parquet",
        trace="<results>/profiles/{model}/{variant}/cpu/{size}.trace.json.gz",
    log:
        "<results>/logs/profile/{model}/{variant}/cpu/{size}.log",
    # The last attempts record that the cell kills its job.
    retries: PLAN.retries
    conda:
        environment_of
    threads: MEASURE_THREADS
    resources:
        **measuring_resources(mem_mb=memory_mb(cell_of, "cpu")),
    params:
        cell=lambda wildcards: PLAN.profile_options(cell_of(wildcards, "cpu")),
    shell:
        r"""
        python scripts/profile_operators.py {params.cell:q} \
            --model-folder {input.model:q} \
            --converted-folder {input.converted:q} \
            --segments {input.manifest:q} \
            --timeout-s {resources.timeout_s:q} \
            --attempt {resources.attempt_no:q} \
            --trace {output.trace:q} \
            --output {output.operators:q} \
            2> >(tee {log:q} >&2)
        """


use rule profile_cpu as profile_cuda with:
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(cell_of, "cuda"),
        manifest=SEGMENTS,
    output:
        operators="<results>/profiles/{model}/{variant}/cuda/{size}.parquet",
        trace="<results>/profiles/{model}/{variant}/cuda/{size}.trace.json.gz",
    log:
        "<results>/logs/profile/{model}/{variant}/cuda/{size}.log",
    resources:
        **measuring_resources(mem_mb=memory_mb(cell_of, "cuda")),
        gpu=1,
    params:
        cell=lambda wildcards: PLAN.profile_options(cell_of(wildcards, "cuda")),
