rule forecast_interventions:
    input:
        data=f"{RESULTS}/data/{{dataset}}.h5ad",
        models=models_of_dataset,
        settings=settings_of_dataset,
        selection=f"{RESULTS}/selection/{{dataset}}",
    output:
        f"{RESULTS}/interventions/{{dataset}}.parquet",
    log:
        f"{RESULTS}/logs/forecast_interventions/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/forecast_interventions/{{dataset}}.tsv"
    conda:
        "../../envs/sparsenode.yaml"
    threads: config["threads"]
    params:
        interventions=interventions_of,
        version=versions.INTERVENTIONS,
    shell:
        "sparsenode forecast-interventions --data {input.data:q} --models {input.models:q}"
        " --settings {input.settings:q} --selection {input.selection:q} --interventions {params.interventions:q}"
        " --threads {threads} --output {output:q} > {log:q} 2>&1"
