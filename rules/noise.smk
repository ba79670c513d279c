"""
The self-check.

Needs: nothing
Makes: a verdict on the terminal, and in <results>/logs/noise.log
Steps: run the same work for ten seconds, alone on the machine; `snakemake --cores all noise`

No output, so that it runs whenever it is asked for. On a cluster it looks at the node that it is sent to.
"""


rule noise:
    "Say how quiet the machine is, what is wrong with it, and what to do about that."
    log:
        "<results>/logs/noise.log",
    conda:
        "../envs/measure.yaml"
    threads: MEASURE_THREADS
    params:
        threads=STUDY.threads,
        target=STUDY.protocol.target,
    shell:
        r"""
        python scripts/check_noise.py \
            --threads {params.threads:q} \
            --target {params.target:q} \
            2> >(tee {log:q} >&2)
        """
