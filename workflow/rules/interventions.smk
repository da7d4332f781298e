rule forecast_interventions:
    input:
        data=f"{RESULTS}data/{{dataset}}.h5ad",
        models=of_dataset(models_of),
        settings=of_dataset(settings_of),
        selection=of_dataset(selections_of),
    output:
        table=f"{RESULTS}interventions/{{dataset}}.parquet",
        effects=f"{RESULTS}interventions/{{dataset}}.effects.csv",
        fates=f"{RESULTS}interventions/{{dataset}}.fates.csv",
    log:
        f"{RESULTS}logs/forecast_interventions/{{dataset}}.log",
    benchmark:
        f"{RESULTS}benchmarks/forecast_interventions/{{dataset}}.tsv"
    conda:
        "../../envs/sparsenode.yaml"
    threads: config["threads"]
    params:
        interventions=interventions_of,
        models=model_arguments,
        seeds=config["seeds"],
        selection=folder_of("selection"),
        origin=lambda wildcards: origin_of(wildcards.dataset),
        version=versions.INTERVENTIONS,
    shell:
        "sparsenode forecast-interventions --data {input.data:q} {params.models}"
        " --selection {params.selection:q} --seeds {params.seeds} --interventions {params.interventions:q}"
        " --threads {threads} --output {output.table:q} --effects {output.effects:q} --fates {output.fates:q}"
        " > {log:q} 2>&1"
