# The members of each sweep as targets: results_of_SWEEP, and figures_of_SWEEP, which are not drawn by themselves, of
# datasets, and models_of_SWEEP of models.
for sweep in configuration.sweeps_of(config)["datasets"]:

    rule:
        name:
            f"results_of_{sweep}"
        input:
            [path for name in members_of_sweep(sweep) for path in results_of(name)],
        localrule: True

    rule:
        name:
            f"figures_of_{sweep}"
        input:
            [
                path
                for name in members_of_sweep(sweep)
                for path in pictures_of_figures(
                    name, configuration.figures_of(config, name)
                )
            ],
        localrule: True


for sweep in configuration.sweeps_of(config)["models"]:

    rule:
        name:
            f"models_of_{sweep}"
        input:
            models_of_sweep(sweep),
        localrule: True


rule tabulate_sweeps:
    output:
        f"{RESULTS}sweeps.csv",
    log:
        f"{RESULTS}logs/tabulate_sweeps.log",
    benchmark:
        f"{RESULTS}benchmarks/tabulate_sweeps.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        sweeps=arguments(
            sweeps=[
                configuration.canonical_json(
                    sweeps.table_rows(configuration.sweeps_of(config))
                )
            ]
        ),
        version=versions.FIGURES,
    shell:
        "sparsenode tabulate-sweeps {params.sweeps} --output {output:q} > {log:q} 2>&1"
