"""
The measurements.

Needs: a model folder, the corpus
Makes: <results>/measurements/<model>/<variant>/<device>/<duration>s-b<batch>.parquet
Steps: one job a cell, alone on the machine; a cell that fails is a record too

A cell depends on its own values and on the protocol. Its inputs are `ancient` and no script is among them, so that
changed code never measures again; what a corpus or a model is made of comes in as a key.
"""


rule measure_cpu:
    "Measure one cell on the CPU."
    input:
        model=ancient("<results>/models/{model}"),
        manifest=ancient(f"<results>/corpus/{CORPUS}/segments.json"),
        audio=ancient(f"<results>/corpus/{CORPUS}/audio"),
    output:
        "<results>/measurements/{model}/{variant}/cpu/{duration}s-b{batch}.parquet",
    log:
        "<results>/logs/measure/{model}/{variant}/cpu/{duration}s-b{batch}.log",
    priority: lambda wildcards: PRIORITIES[cell_of(wildcards, "cpu")]
    # The second attempt writes that the first one died.
    retries: 1
    conda:
        "../envs/measure.yaml"
    threads: measure_threads
    resources:
        attempt_no=lambda wildcards, attempt: attempt,
        # Not a parameter: a longer time-out would not change what was measured.
        timeout_s=int(STUDY["protocol"]["timeout_s"]),
    params:
        device="cpu",
        corpus=subpath(input.manifest, parent=True),
        options=lambda wildcards: json.dumps(STUDY["variants"][wildcards.variant]),
        threads=STUDY["threads"],
        seed=STUDY["seed"],
        protocol=PROTOCOL,
        model_key=lambda wildcards: MODEL_KEYS[wildcards.model],
        corpus_key=CORPUS_KEY,
    shell:
        r"""
        python scripts/measure.py \
            --model {wildcards.model:q} \
            --model-folder {input.model:q} \
            --corpus-folder {params.corpus:q} \
            --variant {wildcards.variant:q} \
            --options {params.options:q} \
            --device {params.device:q} \
            --duration-s {wildcards.duration:q} \
            --batch-size {wildcards.batch:q} \
            --threads {params.threads:q} \
            --seed {params.seed:q} \
            --protocol {params.protocol:q} \
            --timeout-s {resources.timeout_s:q} \
            --attempt {resources.attempt_no:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


use rule measure_cpu as measure_cuda with:
    output:
        "<results>/measurements/{model}/{variant}/cuda/{duration}s-b{batch}.parquet",
    log:
        "<results>/logs/measure/{model}/{variant}/cuda/{duration}s-b{batch}.log",
    priority: lambda wildcards: PRIORITIES[cell_of(wildcards, "cuda")]
    resources:
        gpu=1,
    params:
        device="cuda",
