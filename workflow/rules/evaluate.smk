# One rule a dataset, evaluate_models_DATASET: which files there are depends on the models and methods of each.
for dataset in config["run"]["datasets"]:

    rule:
        name:
            f"evaluate_models_{dataset}"
        input:
            data=f"{RESULTS}data/{dataset}.h5ad",
            models=models_of(dataset),
            settings=settings_of(dataset),
            peers=peers_of(dataset),
            edges=edges_of(dataset),
        output:
            metrics=f"{RESULTS}metrics/{dataset}.parquet",
            forecasts=f"{RESULTS}forecasts/{dataset}.parquet",
            networks=networks_of(dataset),
            selection=selections_of(dataset),
            remarks=f"{RESULTS}remarks/{dataset}.csv",
        log:
            f"{RESULTS}logs/evaluate_models/{dataset}.log",
        benchmark:
            f"{RESULTS}benchmarks/evaluate_models/{dataset}.tsv"
        conda:
            "../../envs/sparsenode.yaml"
        threads: config["threads"]
        resources:
            mem_mb=memory_of_evaluation(dataset),
        params:
            evaluation=configuration.canonical_json(
                config["datasets"][dataset]["evaluation"]
            ),
            seeds=config["seeds"],
            models=model_arguments,
            networks=folder_of("networks", dataset),
            selection=folder_of("selection", dataset),
            edges=edges_flag(dataset),
            origin=origin_of(dataset),
            version=versions.EVALUATION,
        shell:
            # What an evaluation of other models and methods has left goes first.
            "rm -rf {params.networks:q} {params.selection:q} && "
            "sparsenode evaluate-models --data {input.data:q} {params.models}"
            " --peers {input.peers:q} {params.edges}--seeds {params.seeds}"
            " --evaluation {params.evaluation:q} --threads {threads} --metrics {output.metrics:q} --forecasts {output.forecasts:q}"
            " --networks {params.networks:q} --selection {params.selection:q} --remarks {output.remarks:q} > {log:q} 2>&1"


rule collect_metrics:
    input:
        expand(
            f"{RESULTS}metrics/{{dataset}}.parquet", dataset=config["run"]["datasets"]
        ),
    output:
        f"{RESULTS}metrics.csv",
    log:
        f"{RESULTS}logs/collect_metrics.log",
    benchmark:
        f"{RESULTS}benchmarks/collect_metrics.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        metrics=lambda wildcards, input: arguments(metrics=input),
        origin=origin_of(*config["run"]["datasets"]),
        version=versions.EVALUATION,
    shell:
        "sparsenode collect-metrics {params.metrics} --output {output:q} > {log:q} 2>&1"


rule collect_remarks:
    input:
        expand(f"{RESULTS}remarks/{{dataset}}.csv", dataset=config["run"]["datasets"]),
    output:
        table=f"{RESULTS}remarks.csv",
        markdown=report(
            f"{RESULTS}remarks.md",
            caption="../report/remarks.rst",
            category="Remarks",
            labels={"dataset": "all", "table": "what is doubtful"},
        ),
    log:
        f"{RESULTS}logs/collect_remarks.log",
    benchmark:
        f"{RESULTS}benchmarks/collect_remarks.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        remarks=lambda wildcards, input: arguments(remarks=input),
        origin=origin_of(*config["run"]["datasets"]),
        version=versions.FIGURES,
    shell:
        "sparsenode collect-remarks {params.remarks} --output {output.table:q} --markdown {output.markdown:q}"
        " > {log:q} 2>&1"


rule summarize_run:
    input:
        metrics=expand(
            f"{RESULTS}metrics/{{dataset}}.parquet", dataset=config["run"]["datasets"]
        ),
        selections=of_datasets(selections_of, config["run"]["datasets"]),
        remarks=expand(
            f"{RESULTS}remarks/{{dataset}}.csv", dataset=config["run"]["datasets"]
        ),
    output:
        table=f"{RESULTS}summary.json",
        markdown=report(
            f"{RESULTS}summary.md",
            caption="../report/summary.rst",
            category="Summary",
            labels={"dataset": "all", "table": "what was found"},
        ),
    log:
        f"{RESULTS}logs/summarize_run.log",
    benchmark:
        f"{RESULTS}benchmarks/summarize_run.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        tables=summary_arguments,
        origin=origin_of(*config["run"]["datasets"]),
        version=versions.FIGURES,
    shell:
        "sparsenode summarize-run {params.tables}"
        " --output {output.table:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule write_overview:
    input:
        summary=f"{RESULTS}summary.md",
        benchmark=[f"{RESULTS}benchmark.csv"]
        * bool(configuration.benchmarks_of(config)),
        pictures=overview_pictures(),
    output:
        html=report(
            f"{RESULTS}overview.html",
            caption="../report/overview.rst",
            category="Summary",
            labels={"dataset": "all", "table": "overview"},
        ),
    log:
        f"{RESULTS}logs/write_overview.log",
    benchmark:
        f"{RESULTS}benchmarks/write_overview.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        benchmark=lambda wildcards, input: (
            f"--benchmark {shlex.quote(input.benchmark[0])}" if input.benchmark else ""
        ),
        pictures=lambda wildcards, input: arguments(pictures=input.pictures),
        version=versions.FIGURES,
    shell:
        "sparsenode write-overview --summary {input.summary:q} {params.benchmark} {params.pictures}"
        " --output {output.html:q} > {log:q} 2>&1"


rule tabulate_benchmark:
    input:
        metrics=of_benchmarks(f"{RESULTS}metrics/{{dataset}}.parquet"),
        selections=of_benchmarks(selections_of),
        remarks=of_benchmarks(f"{RESULTS}remarks/{{dataset}}.csv"),
    output:
        table=f"{RESULTS}benchmark.csv",
        markdown=f"{RESULTS}benchmark.md",
    log:
        f"{RESULTS}logs/tabulate_benchmark.log",
    benchmark:
        f"{RESULTS}benchmarks/tabulate_benchmark.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        tables=benchmark_arguments,
        benchmarks=configuration.canonical_json(configuration.benchmarks_of(config)),
        origin=origin_of(*configuration.benchmarks_of(config)),
        version=versions.FIGURES,
    shell:
        "sparsenode tabulate-benchmark {params.tables} --benchmarks {params.benchmarks:q}"
        " --output {output.table:q} --markdown {output.markdown:q} > {log:q} 2>&1"
