"""
Floating-point operations.

Needs: model folders, the corpus, the study
Makes: <results>/tables/flops.{parquet,csv}
Steps: count the operations of every model, without its weights
"""


rule flops:
    "Count the floating-point operations of every model, and of the 2025 study's models if asked."
    input:
        code("count_flops.py"),
        f"{BASE}/resources/models.toml",
        models=list(MODELS.values()),
        segments=SEGMENTS,
        study="<results>/study.json",
    output:
        expand("<results>/tables/flops.{ending}", ending=["parquet", "csv"]),
    log:
        "<results>/logs/flops.log",
    conda:
        "../envs/flops.yaml"
    params:
        results=subpath(input.study, parent=True),
        folder=subpath(output[0], parent=True),
    shell:
        r"""
        python scripts/count_flops.py \
            --study {input.study:q} \
            --models {params.results:q}/models \
            --segments {input.segments:q} \
            --output-folder {params.folder:q} \
            2> >(tee {log:q} >&2)
        """
