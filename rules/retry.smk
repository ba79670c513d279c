"""
Retries of disturbed measurements.

Needs: the records of a lap on a device
Makes: <results>/measurements/.laps/<device>-lap<n>.json; better records in place of disturbed ones
Steps: one job for each lap, device and environment, between its lap and the next; it ends at once without disturbances

Never in a group on a cluster: its records would join a whole lap into one job.
"""


rule retry_disturbed_cpu:
    "Measure the disturbed sittings of a lap on the CPU again."
    input:
        records=records_of("cpu"),
        models=list(MODELS.values()),
        converted=converted_in,
        manifest=SEGMENTS,
        study=ancient("<results>/study.json"),
    output:
        "<results>/measurements/.laps/cpu{environment}-lap{lap}.json",
    log:
        "<results>/logs/measure/retried/cpu{environment}-lap{lap}.log",
    priority: lambda wildcards: PLAN.laps.retry_priority(int(wildcards.lap))
    retries: PLAN.retries
    conda:
        environment_of_retry
    threads: MEASURE_THREADS
    resources:
        **retrying_resources("cpu"),
    params:
        device="cpu",
        results=subpath(input.study, parent=True),
        environment=environment_in,
        made_of=PLAN.fingerprints.to_json(),
    shell:
        r"""
        python scripts/retry_disturbed.py \
            --study {input.study:q} \
            --fingerprints {params.made_of:q} \
            --measurements {params.results:q}/measurements \
            --models {params.results:q}/models \
            --converted {params.results:q}/converted \
            --segments {input.manifest:q} \
            --device {params.device:q} \
            --environment {params.environment:q} \
            --lap {wildcards.lap:q} \
            {resources.untracked} \
            --timeout-s {resources.timeout_s:q} \
            --time-s {resources.time_s:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


use rule retry_disturbed_cpu as retry_disturbed_cuda with:
    input:
        records=records_of("cuda"),
        models=list(MODELS.values()),
        converted=converted_in,
        manifest=SEGMENTS,
        study=ancient("<results>/study.json"),
    output:
        "<results>/measurements/.laps/cuda{environment}-lap{lap}.json",
    log:
        "<results>/logs/measure/retried/cuda{environment}-lap{lap}.log",
    resources:
        **retrying_resources("cuda"),
        gpu=1,
    params:
        device="cuda",
        results=subpath(input.study, parent=True),
        environment=environment_in,
        made_of=PLAN.fingerprints.to_json(),
