"""
Silence: transcripts of clips without speech.

Needs: a model folder, the corpus
Makes: <results>/silence/<model>/<variant>/<device>.parquet
Steps: one job for each pretrained model and variant, on the first device that it runs on, alone on the machine; none with
`robustness: {silence: false}`
"""

HEARINGS = [f"<results>/silence/{name}.parquet" for name in PLAN.hearings]


rule silence_cpu:
    "Let a model and variant transcribe clips without speech on the CPU."
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(hearing_of, "cpu"),
        manifest=SEGMENTS,
    output:
        "<results>/silence/{model}/{variant}/cpu.parquet",
    log:
        "<results>/logs/silence/{model}/{variant}/cpu.log",
    # The last attempts record that the model kills its job.
    retries: PLAN.retries
    conda:
        environment_of
    threads: MEASURE_THREADS
    resources:
        **measuring_resources(mem_mb=memory_mb(hearing_of, "cpu")),
    params:
        variant=lambda wildcards: PLAN.silence_options(hearing_of(wildcards, "cpu")),
    shell:
        r"""
        python scripts/hear_silence.py {params.variant:q} \
            --model-folder {input.model:q} \
            --converted-folder {input.converted:q} \
            --segments {input.manifest:q} \
            --timeout-s {resources.timeout_s:q} \
            --attempt {resources.attempt_no:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


use rule silence_cpu as silence_cuda with:
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(hearing_of, "cuda"),
        manifest=SEGMENTS,
    output:
        "<results>/silence/{model}/{variant}/cuda.parquet",
    log:
        "<results>/logs/silence/{model}/{variant}/cuda.log",
    resources:
        **measuring_resources(mem_mb=memory_mb(hearing_of, "cuda")),
        gpu=1,
    params:
        variant=lambda wildcards: PLAN.silence_options(hearing_of(wildcards, "cuda")),
