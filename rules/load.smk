"""
Load tests: how many requests per second a machine carries.

Needs: a model folder, the corpus, and the records of the cells of the class, which predict where to search
Makes: <results>/load/<model>/<variant>/<device>.parquet, and .predicted.json beside it
Steps: predict with a simulated queue, then run one job for each model, variant and device, alone on the machine
"""


rule predict_load:
    "Predict the rate at which the search for a capacity starts."
    input:
        code("predict_capacity.py"),
        # A new measurement of a cell does not repeat the load test.
        records=lambda wildcards: PLAN.behind_load(
            load_test_of(wildcards, wildcards.device)
        ),
    output:
        "<results>/load/{model}/{variant}/{device}.predicted.json",
    log:
        "<results>/logs/load/{model}/{variant}/{device}.predicted.log",
    wildcard_constraints:
        device="cpu|cuda",
    conda:
        "../envs/analysis.yaml"
    params:
        load=lambda wildcards: json.dumps(PLAN.load_settings),
    shell:
        r"""
        python scripts/predict_capacity.py \
            --records {input.records:q} \
            --load {params.load:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


rule load_cpu:
    "Find how many requests per second a model carries on the CPU."
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(load_test_of, "cpu"),
        manifest=SEGMENTS,
        # The prediction decides where the search begins, not its result.
        predicted=ancient("<results>/load/{model}/{variant}/cpu.predicted.json"),
    output:
        "<results>/load/{model}/{variant}/cpu.parquet",
    log:
        "<results>/logs/load/{model}/{variant}/cpu.log",
    # The last attempts record that the load test kills its job.
    retries: PLAN.retries
    conda:
        environment_of
    threads: MEASURE_THREADS
    resources:
        **loading_resources(mem_mb=memory_mb(load_test_of, "cpu")),
    params:
        load=lambda wildcards: PLAN.load_options(load_test_of(wildcards, "cpu")),
    shell:
        r"""
        python scripts/measure_load.py {params.load:q} \
            --model-folder {input.model:q} \
            --converted-folder {input.converted:q} \
            --segments {input.manifest:q} \
            --predicted {input.predicted:q} \
            --timeout-s {resources.timeout_s:q} \
            --attempt {resources.attempt_no:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


use rule load_cpu as load_cuda with:
    input:
        model=lambda wildcards: MODELS[wildcards.model],
        converted=converted_of(load_test_of, "cuda"),
        manifest=SEGMENTS,
        predicted=ancient("<results>/load/{model}/{variant}/cuda.predicted.json"),
    output:
        "<results>/load/{model}/{variant}/cuda.parquet",
    log:
        "<results>/logs/load/{model}/{variant}/cuda.log",
    resources:
        **loading_resources(mem_mb=memory_mb(load_test_of, "cuda")),
        gpu=1,
    params:
        load=lambda wildcards: PLAN.load_options(load_test_of(wildcards, "cuda")),
