"""
The tables.

Needs: every cell's file, the study, counts of FLOPs, the spelling table of Whisper's English normaliser
Makes: <results>/study.json, <results>/tables/{cells,passes,transcripts,repeatability}.{parquet,csv}
Steps: write down the study, score the transcripts, gather
"""


rule study:
    "Write down the study with every default filled in."
    input:
        code("write_study.py"),
    output:
        "<results>/study.json",
    log:
        "<results>/logs/study.log",
    # Says whose results these are before the first cell is there.
    priority: FIRST
    conda:
        "../envs/analysis.yaml"
    params:
        study=json.dumps(STUDY),
    shell:
        r"""
        python scripts/write_study.py \
            --study {params.study:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


rule tables:
    "Score every transcript and gather all cells."
    input:
        code("collect.py"),
        cells=ALL_CELLS,
        study=own_study,
        flops="<results>/tables/flops.parquet",
        words=archives(["openai-whisper"]),
    output:
        expand(
            "<results>/tables/{table}.{ending}",
            table=["cells", "passes", "transcripts", "repeatability"],
            ending=["parquet", "csv"],
        ),
    log:
        "<results>/logs/tables.log",
    conda:
        "../envs/analysis.yaml"
    params:
        results=subpath(input.study, parent=True),
        folder=subpath(output[0], parent=True),
        made_of=KEYS,
    shell:
        r"""
        python scripts/collect.py \
            --study {input.study:q} \
            --measurements {params.results:q}/measurements \
            --downloads {params.results:q}/downloads \
            --flops {input.flops:q} \
            --keys {params.made_of:q} \
            --output-folder {params.folder:q} \
            2> >(tee {log:q} >&2)
        """
