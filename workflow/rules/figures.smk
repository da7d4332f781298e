FONT_SIZE = config["figures"]["font_size"]
DOTS_PER_INCH = config["figures"]["dots_per_inch"]


rule draw_strengths:
    input:
        metrics=f"{RESULTS}/metrics/{{dataset}}.parquet",
        selection=f"{RESULTS}/selection/{{dataset}}",
    output:
        pdf=f"{RESULTS}/figures/{{dataset}}/strengths.pdf",
        png=report(
            f"{RESULTS}/figures/{{dataset}}/strengths.png",
            caption="../report/strengths.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "strengths"},
        ),
    log:
        f"{RESULTS}/logs/draw_strengths/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_strengths/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        font_size=FONT_SIZE,
        dots_per_inch=DOTS_PER_INCH,
        version=versions.FIGURES,
    shell:
        "sparsenode draw-strengths --dataset {wildcards.dataset} --metrics {input.metrics:q}"
        " --selection {input.selection:q} --font-size {params.font_size}"
        " --dots-per-inch {params.dots_per_inch} --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"


rule draw_pareto:
    input:
        metrics=f"{RESULTS}/metrics/{{dataset}}.parquet",
        selection=f"{RESULTS}/selection/{{dataset}}",
    output:
        pdf=f"{RESULTS}/figures/{{dataset}}/pareto.pdf",
        png=report(
            f"{RESULTS}/figures/{{dataset}}/pareto.png",
            caption="../report/pareto.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "pareto"},
        ),
    log:
        f"{RESULTS}/logs/draw_pareto/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_pareto/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        font_size=FONT_SIZE,
        dots_per_inch=DOTS_PER_INCH,
        version=versions.FIGURES,
    shell:
        "sparsenode draw-pareto --dataset {wildcards.dataset} --metrics {input.metrics:q}"
        " --selection {input.selection:q} --font-size {params.font_size}"
        " --dots-per-inch {params.dots_per_inch} --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"


rule draw_trajectories:
    input:
        metrics=f"{RESULTS}/metrics/{{dataset}}.parquet",
        selection=f"{RESULTS}/selection/{{dataset}}",
        forecasts=f"{RESULTS}/forecasts/{{dataset}}.parquet",
    output:
        pdf=f"{RESULTS}/figures/{{dataset}}/trajectories.pdf",
        png=report(
            f"{RESULTS}/figures/{{dataset}}/trajectories.png",
            caption="../report/trajectories.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "trajectories"},
        ),
    log:
        f"{RESULTS}/logs/draw_trajectories/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_trajectories/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        font_size=FONT_SIZE,
        dots_per_inch=DOTS_PER_INCH,
        version=versions.FIGURES,
    shell:
        "sparsenode draw-trajectories --dataset {wildcards.dataset} --metrics {input.metrics:q}"
        " --selection {input.selection:q} --forecasts {input.forecasts:q} --font-size {params.font_size}"
        " --dots-per-inch {params.dots_per_inch} --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"


rule draw_network:
    input:
        metrics=f"{RESULTS}/metrics/{{dataset}}.parquet",
        selection=f"{RESULTS}/selection/{{dataset}}",
        networks=f"{RESULTS}/networks/{{dataset}}",
        data=f"{RESULTS}/data/{{dataset}}.h5ad",
    output:
        pdf=f"{RESULTS}/figures/{{dataset}}/network.pdf",
        png=report(
            f"{RESULTS}/figures/{{dataset}}/network.png",
            caption="../report/network.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "network"},
        ),
    log:
        f"{RESULTS}/logs/draw_network/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_network/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        font_size=FONT_SIZE,
        dots_per_inch=DOTS_PER_INCH,
        version=versions.FIGURES,
    shell:
        "sparsenode draw-network --dataset {wildcards.dataset} --metrics {input.metrics:q}"
        " --selection {input.selection:q} --networks {input.networks:q} --data {input.data:q} --font-size {params.font_size}"
        " --dots-per-inch {params.dots_per_inch} --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"


rule draw_horizon:
    input:
        metrics=f"{RESULTS}/metrics/{{dataset}}.parquet",
        selection=f"{RESULTS}/selection/{{dataset}}",
        data=f"{RESULTS}/data/{{dataset}}.h5ad",
    output:
        pdf=f"{RESULTS}/figures/{{dataset}}/horizon.pdf",
        png=report(
            f"{RESULTS}/figures/{{dataset}}/horizon.png",
            caption="../report/horizon.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "horizon"},
        ),
    log:
        f"{RESULTS}/logs/draw_horizon/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_horizon/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        font_size=FONT_SIZE,
        dots_per_inch=DOTS_PER_INCH,
        version=versions.FIGURES,
    shell:
        "sparsenode draw-horizon --dataset {wildcards.dataset} --metrics {input.metrics:q} --selection {input.selection:q} --data {input.data:q}"
        " --font-size {params.font_size} --dots-per-inch {params.dots_per_inch}"
        " --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"


rule draw_skeleton:
    input:
        metrics=f"{RESULTS}/metrics/{{dataset}}.parquet",
        selection=f"{RESULTS}/selection/{{dataset}}",
        forecasts=f"{RESULTS}/forecasts/{{dataset}}.parquet",
        data=f"{RESULTS}/data/{{dataset}}.h5ad",
    output:
        pdf=f"{RESULTS}/figures/{{dataset}}/skeleton.pdf",
        png=report(
            f"{RESULTS}/figures/{{dataset}}/skeleton.png",
            caption="../report/skeleton.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "skeleton"},
        ),
        animation=report(
            f"{RESULTS}/figures/{{dataset}}/skeleton.gif",
            caption="../report/skeleton.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "skeleton (animation)"},
        ),
    log:
        f"{RESULTS}/logs/draw_skeleton/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_skeleton/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        font_size=FONT_SIZE,
        dots_per_inch=DOTS_PER_INCH,
        version=versions.FIGURES,
    shell:
        "sparsenode draw-skeleton --dataset {wildcards.dataset} --metrics {input.metrics:q} --selection {input.selection:q} --forecasts {input.forecasts:q} --data {input.data:q}"
        " --font-size {params.font_size} --dots-per-inch {params.dots_per_inch}"
        " --pdf {output.pdf:q} --png {output.png:q} --animation {output.animation:q} > {log:q} 2>&1"


rule draw_joints:
    input:
        selection=f"{RESULTS}/selection/{{dataset}}",
        networks=f"{RESULTS}/networks/{{dataset}}",
        data=f"{RESULTS}/data/{{dataset}}.h5ad",
    output:
        pdf=f"{RESULTS}/figures/{{dataset}}/joints.pdf",
        png=report(
            f"{RESULTS}/figures/{{dataset}}/joints.png",
            caption="../report/joints.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"dataset": "{dataset}", "figure": "joints"},
        ),
    log:
        f"{RESULTS}/logs/draw_joints/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_joints/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        font_size=FONT_SIZE,
        dots_per_inch=DOTS_PER_INCH,
        version=versions.FIGURES,
    shell:
        "sparsenode draw-joints --dataset {wildcards.dataset} --selection {input.selection:q} --networks {input.networks:q} --data {input.data:q}"
        " --font-size {params.font_size} --dots-per-inch {params.dots_per_inch}"
        " --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"
