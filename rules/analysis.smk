"""
Tables, made from the records.

Needs: the records of all cells and layouts in all laps, transcripts of silence, profiles, ceilings, load tests, FLOP
  counts, Whisper's spelling table
Makes: <results>/tables/{cells,sittings,passes,transcripts,languages,optimisations,start,silence,silence_models}.{parquet,csv},
  <results>/tables/{loads,capacities,layouts,operators,ceilings,roofline,scaling,edlm2025}.{parquet,csv}
Steps: score the transcripts, collect all records, find each cell's bottleneck, compare with the 2025 study if asked
"""

PROFILES = [f"<results>/profiles/{cell}.parquet" for cell in PLAN.profiles()]
LOAD_TESTS = [f"<results>/load/{way}.parquet" for way in PLAN.load_tests]
# Ceilings of other machines stay in the folder beside these.
CEILINGS = [
    f"<results>/ceilings/{PLAN.machine}/{device}.parquet" for device in STUDY.devices
]
LAYOUTS = [f"<results>/layouts/{run}.parquet" for run in PLAN.layouts]


rule tables:
    "Score every transcript and gather all cells."
    input:
        code("make_tables.py"),
        f"{BASE}/resources/proposals.toml",
        f"{BASE}/resources/languages.toml",
        # One file per lap, as new as its newest record, stands for thousands of records.
        laps=PLAN.laps.retried,
        silence=HEARINGS,
        layouts=LAYOUTS,
        study=saved_study,
        flops="<results>/tables/flops.parquet",
        words=PLAN.archives(["openai-whisper"]),
    output:
        expand(
            "<results>/tables/{table}.{ending}",
            table=[
                "cells",
                "sittings",
                "passes",
                "transcripts",
                "languages",
                "optimisations",
                "start",
                "silence",
                "silence_models",
                "layouts",
            ],
            ending=["parquet", "csv"],
        ),
    log:
        "<results>/logs/tables.log",
    conda:
        "../envs/analysis.yaml"
    params:
        results=subpath(input.study, parent=True),
        folder=subpath(output[0], parent=True),
        made_of=PLAN.fingerprints.to_json(),
    shell:
        r"""
        python scripts/make_tables.py \
            --study {input.study:q} \
            --measurements {params.results:q}/measurements \
            --layouts {params.results:q}/layouts \
            --downloads {params.results:q}/downloads \
            --flops {input.flops:q} \
            --silence {input.silence:q} \
            --fingerprints {params.made_of:q} \
            --output-folder {params.folder:q} \
            2> >(tee {log:q} >&2)
        """


rule capacity:
    "Collect measured and modelled capacities."
    input:
        code("capacity.py"),
        tests=LOAD_TESTS,
        study="<results>/study.json",
        cells="<results>/tables/cells.parquet",
        passes="<results>/tables/passes.parquet",
    output:
        expand(
            "<results>/tables/{table}.{ending}",
            table=["loads", "capacities"],
            ending=["parquet", "csv"],
        ),
    log:
        "<results>/logs/capacity.log",
    conda:
        "../envs/analysis.yaml"
    params:
        folder=subpath(output[0], parent=True),
        made_of=PLAN.fingerprints.to_json(),
    shell:
        r"""
        python scripts/capacity.py \
            --study {input.study:q} \
            --cells {input.cells:q} \
            --passes {input.passes:q} \
            --load-tests {input.tests:q} \
            --fingerprints {params.made_of:q} \
            --output-folder {params.folder:q} \
            2> >(tee {log:q} >&2)
        """


rule bottlenecks:
    "Find the bottleneck of each cell, and compare with the 2025 study if asked."
    input:
        code("bottlenecks.py"),
        f"{BASE}/resources/edlm2025.csv",
        profiles=PROFILES,
        ceilings=CEILINGS,
        study="<results>/study.json",
        cells="<results>/tables/cells.parquet",
        flops="<results>/tables/flops.parquet",
    output:
        expand(
            "<results>/tables/{table}.{ending}",
            table=["operators", "ceilings", "roofline", "scaling", "edlm2025"],
            ending=["parquet", "csv"],
        ),
    log:
        "<results>/logs/bottlenecks.log",
    conda:
        "../envs/analysis.yaml"
    params:
        results=subpath(input.study, parent=True),
        folder=subpath(output[0], parent=True),
        made_of=PLAN.fingerprints.to_json(),
    shell:
        r"""
        python scripts/bottlenecks.py \
            --study {input.study:q} \
            --cells {input.cells:q} \
            --flops {input.flops:q} \
            --profiles {input.profiles:q} \
            --fingerprints {params.made_of:q} \
            --ceilings {params.results:q}/ceilings \
            --output-folder {params.folder:q} \
            2> >(tee {log:q} >&2)
        """
