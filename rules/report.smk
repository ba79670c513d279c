"""
Report.

Needs: the tables, the study, the template in report/, and optionally the tables of another run to compare with
Makes: <results>/figures/*.svg, <results>/report.html, <results>/answer.txt
Steps: draw, render
"""

from asrmeter.report import figure_registry

FIGURES = list(figure_registry.FIGURES)
WORDS = f"report/words.{STUDY.report.language}.toml"
# Translated meanings of the columns, if there are any.
MEANINGS = [
    str(path) for path in Path("report").glob(f"columns.{STUDY.report.language}.toml")
]


# If the report compares with another run, a missing table of that run is an error before anything is measured.
with errors_in_one_line():
    OTHER_RUN, OTHER_TABLES = run_folders.of_report(STUDY)


rule figures:
    "Draw every figure."
    input:
        code("make_figures.py"),
        study="<results>/study.json",
        cells="<results>/tables/cells.parquet",
        transcripts="<results>/tables/transcripts.parquet",
        optimisations="<results>/tables/optimisations.parquet",
        silence="<results>/tables/silence.parquet",
        loads="<results>/tables/loads.parquet",
        capacities="<results>/tables/capacities.parquet",
        layouts="<results>/tables/layouts.parquet",
        roofline="<results>/tables/roofline.parquet",
        ceilings="<results>/tables/ceilings.parquet",
        operators="<results>/tables/operators.parquet",
        scaling="<results>/tables/scaling.parquet",
        words=WORDS,
    output:
        [
            report(
                f"<results>/figures/{figure}.svg",
                category="Figures",
                # Called only by Snakemake's own report.
                labels=lambda wildcards, figure=figure: figure_registry.labels(
                    figure, Path(WORDS)
                ),
            )
            for figure in FIGURES
        ],
    log:
        "<results>/logs/figures.log",
    conda:
        "../envs/report.yaml"
    params:
        folder=subpath(output[0], parent=True),
        template=subpath(input.words, parent=True),
    shell:
        r"""
        python scripts/make_figures.py \
            --study {input.study:q} \
            --cells {input.cells:q} \
            --transcripts {input.transcripts:q} \
            --optimisations {input.optimisations:q} \
            --silence {input.silence:q} \
            --loads {input.loads:q} \
            --capacities {input.capacities:q} \
            --layouts {input.layouts:q} \
            --roofline {input.roofline:q} \
            --ceilings {input.ceilings:q} \
            --operators {input.operators:q} \
            --scaling {input.scaling:q} \
            --template-folder {params.template:q} \
            --output-folder {params.folder:q} \
            2> >(tee {log:q} >&2)
        """


rule report:
    "Render the report as one self-contained file, and its answer as text."
    input:
        code("make_report.py"),
        "report/style.css",
        "report/tables.js",
        WORDS,
        MEANINGS,
        template="report/report.html.j2",
        study="<results>/study.json",
        cells="<results>/tables/cells.parquet",
        transcripts="<results>/tables/transcripts.parquet",
        sittings="<results>/tables/sittings.parquet",
        languages="<results>/tables/languages.parquet",
        optimisations="<results>/tables/optimisations.parquet",
        layouts="<results>/tables/layouts.parquet",
        start="<results>/tables/start.parquet",
        silence_models="<results>/tables/silence_models.parquet",
        loads="<results>/tables/loads.parquet",
        capacities="<results>/tables/capacities.parquet",
        flops="<results>/tables/flops.parquet",
        operators="<results>/tables/operators.parquet",
        ceilings="<results>/tables/ceilings.parquet",
        roofline="<results>/tables/roofline.parquet",
        scaling="<results>/tables/scaling.parquet",
        edlm2025="<results>/tables/edlm2025.parquet",
        selection=f"<results>/corpus/{PLAN.corpus}/selection.json",
        segments=f"<results>/corpus/{PLAN.corpus}/segments.json",
        other_run=OTHER_TABLES,
        figures=expand("<results>/figures/{figure}.svg", figure=FIGURES),
    output:
        html=report(
            "<results>/report.html",
            caption="../report/caption.rst",
            category="Report",
        ),
        answer="<results>/answer.txt",
    log:
        "<results>/logs/report.log",
    conda:
        "../envs/report.yaml"
    params:
        template=subpath(input.template, parent=True),
        other_run=OTHER_RUN,
    shell:
        r"""
        python scripts/make_report.py \
            --study {input.study:q} \
            --cells {input.cells:q} \
            --transcripts {input.transcripts:q} \
            --sittings {input.sittings:q} \
            --languages {input.languages:q} \
            --optimisations {input.optimisations:q} \
            --layouts {input.layouts:q} \
            --start {input.start:q} \
            --silence-models {input.silence_models:q} \
            --loads {input.loads:q} \
            --capacities {input.capacities:q} \
            --flops {input.flops:q} \
            --operators {input.operators:q} \
            --ceilings {input.ceilings:q} \
            --roofline {input.roofline:q} \
            --scaling {input.scaling:q} \
            --edlm2025 {input.edlm2025:q} \
            --selection {input.selection:q} \
            --segments {input.segments:q} \
            --compare-with {params.other_run:q} \
            --figures {input.figures:q} \
            --template-folder {params.template:q} \
            --output {output.html:q} \
            --answer {output.answer:q} \
            2> >(tee {log:q} >&2)
        """
