"""
Layouts: one model in several processes at once, each on its own cores.

Needs: a model folder or its conversion for a runtime, the corpus
Makes: <results>/layouts/<model>/<variant>/<device>/<processes>x<threads>/lap<n>.parquet
Steps: one job for each layout and lap, alone on the machine, after the cells of the lap
"""


rule layout_cpu:
    "Measure one layout of a model in one lap."
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(layout_of, "cpu"),
        manifest=SEGMENTS,
    output:
        "<results>/layouts/{model}/{variant}/cpu/{layout}/lap{lap}.parquet",
    log:
        "<results>/logs/layouts/{model}/{variant}/cpu/{layout}/lap{lap}.log",
    priority: lambda wildcards: PLAN.laps.retry_priority(int(wildcards.lap))
    # The last attempts record that the layout kills its job.
    retries: PLAN.retries
    conda:
        environment_of
    threads: MEASURE_THREADS
    resources:
        **measuring_resources(mem_mb=memory_mb(layout_of, "cpu")),
    params:
        layout=lambda wildcards: PLAN.layout_options(layout_of(wildcards, "cpu")),
    shell:
        r"""
        python scripts/measure_layout.py {params.layout:q} \
            --model-folder {input.model:q} \
            --converted-folder {input.converted:q} \
            --segments {input.manifest:q} \
            --timeout-s {resources.timeout_s:q} \
            --attempt {resources.attempt_no:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


use rule layout_cpu as layout_cuda with:
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(layout_of, "cuda"),
        manifest=SEGMENTS,
    output:
        "<results>/layouts/{model}/{variant}/cuda/{layout}/lap{lap}.parquet",
    log:
        "<results>/logs/layouts/{model}/{variant}/cuda/{layout}/lap{lap}.log",
    resources:
        **measuring_resources(mem_mb=memory_mb(layout_of, "cuda")),
        gpu=1,
    params:
        layout=lambda wildcards: PLAN.layout_options(layout_of(wildcards, "cuda")),
