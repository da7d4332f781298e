TABLES = {
    "metrics": f"{RESULTS}metrics/{{dataset}}.parquet",
    "forecasts": f"{RESULTS}forecasts/{{dataset}}.parquet",
    "data": f"{RESULTS}data/{{dataset}}.h5ad",
    "interventions": f"{RESULTS}interventions/{{dataset}}.parquet",
    **{name: of_dataset(files) for name, files in FOLDERS.items()},
}


# One rule a figure, draw_strengths and so on: they differ in what they read, and in nothing else. Directives are
# evaluated at once and may name the figure; the shell command is not, and takes it from `params`.
for figure, drawn in FIGURES.items():

    rule:
        name:
            f"draw_{figure}"
        input:
            **{table: TABLES[table] for table in drawn.inputs},
        output:
            **pictures_of(figure),
        log:
            f"{RESULTS}logs/draw_{figure}/{{dataset}}.log",
        benchmark:
            f"{RESULTS}benchmarks/draw_{figure}/{{dataset}}.tsv"
        localrule: True
        conda:
            "../../envs/sparsenode.yaml"
        threads: 1
        resources:
            mem_mb=figure_memory(figure),
            large_figures=is_large(figure),
        params:
            subcommand=subcommand_of(figure),
            files=file_flags,
            benchmark=benchmark_of(figure),
            origin=origin_of_figure(figure),
            font_size=config["figures"]["font_size"],
            dots_per_inch=config["figures"]["dots_per_inch"],
            version=versions.FIGURES,
        shell:
            "sparsenode {params.subcommand} --dataset {wildcards.dataset} {params.files}"
            " {params.benchmark} --font-size {params.font_size} --dots-per-inch {params.dots_per_inch} > {log:q} 2>&1"


rule draw_comparison:
    input:
        metrics=compared(TABLES["metrics"]),
        selections=compared(selections_of),
    output:
        pdf=f"{RESULTS}figures/comparisons/{{comparison}}.pdf",
        png=report(
            f"{RESULTS}figures/comparisons/{{comparison}}.png",
            caption="../report/comparison.rst",
            category="Figures",
            subcategory="comparisons",
            labels={"dataset": "several", "figure": "{comparison}"},
        ),
    log:
        f"{RESULTS}logs/draw_comparison/{{comparison}}.log",
    benchmark:
        f"{RESULTS}benchmarks/draw_comparison/{{comparison}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        settings=comparison_settings,
        tables=comparison_arguments,
        origin=origin_of_comparison,
        font_size=config["figures"]["font_size"],
        dots_per_inch=config["figures"]["dots_per_inch"],
        version=versions.FIGURES,
    shell:
        "sparsenode draw-comparison --comparison {wildcards.comparison} --settings {params.settings:q}"
        " {params.tables}"
        " --font-size {params.font_size} --dots-per-inch {params.dots_per_inch}"
        " --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"


rule draw_network_page:
    input:
        selection=of_dataset(selections_of),
        networks=of_dataset(networks_of),
    output:
        html=report(
            f"{RESULTS}figures/{{dataset}}/network.html",
            caption="../report/network_page.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "network, interactive"},
        ),
    log:
        f"{RESULTS}logs/draw_network_page/{{dataset}}.log",
    benchmark:
        f"{RESULTS}benchmarks/draw_network_page/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=figure_memory("network"),
    params:
        files=file_flags,
        origin=origin_of_figure("network"),
        version=versions.FIGURES,
    shell:
        "sparsenode draw-network-page --dataset {wildcards.dataset} {params.files} > {log:q} 2>&1"
