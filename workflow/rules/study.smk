# The study: a long table for each dataset with the option `distances`, one for each kind of system, and from all of them
# the claims, the answer and the figures. With `study.tables` these are made from stored tables, without training.


rule tabulate_study:
    input:
        data=f"{RESULTS}data/{{dataset}}.h5ad",
        metrics=f"{RESULTS}metrics/{{dataset}}.parquet",
        interventions=held_of_study,
    output:
        f"{STUDY}datasets/{{dataset}}.csv.gz",
    log:
        f"{RESULTS}logs/tabulate_study/{{dataset}}.log",
    benchmark:
        f"{RESULTS}benchmarks/tabulate_study/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        held=lambda wildcards, input: (
            arguments(interventions=input.interventions) if input.interventions else ""
        ),
        origin=lambda wildcards: origin_of(
            wildcards.dataset, interventions=bool(held_of_study(wildcards))
        ),
        version=versions.STUDY,
    shell:
        "sparsenode tabulate-study --data {input.data:q} --metrics {input.metrics:q} {params.held}"
        " --output {output:q} > {log:q} 2>&1"


rule collect_kind:
    input:
        lambda wildcards: expand(
            f"{STUDY}datasets/{{dataset}}.csv.gz", dataset=KINDS[wildcards.kind]
        ),
    output:
        f"{STUDY}kinds/{{kind}}.csv.gz",
    log:
        f"{RESULTS}logs/collect_study/{{kind}}.log",
    benchmark:
        f"{RESULTS}benchmarks/collect_study/{{kind}}.tsv"
    wildcard_constraints:
        kind="|".join(map(re.escape, KINDS)) or "(?!)",
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        tables=lambda wildcards, input: arguments(tables=input),
        version=versions.STUDY,
    shell:
        "sparsenode collect-study {params.tables} --output {output:q} > {log:q} 2>&1"


rule collect_study:
    input:
        tables_of_study,
    output:
        f"{STUDY}long.csv.gz",
    log:
        f"{RESULTS}logs/collect_study.log",
    benchmark:
        f"{RESULTS}benchmarks/collect_study.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        tables=lambda wildcards, input: arguments(tables=input),
        version=versions.STUDY,
    shell:
        "sparsenode collect-study {params.tables} --output {output:q} > {log:q} 2>&1"


rule answer_claim:
    input:
        f"{STUDY}long.csv.gz",
    output:
        f"{STUDY}claims/{{claim}}.csv",
    log:
        f"{RESULTS}logs/answer_claim/{{claim}}.log",
    benchmark:
        f"{RESULTS}benchmarks/answer_claim/{{claim}}.tsv"
    wildcard_constraints:
        claim="|".join(CLAIMS),
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        version=versions.STUDY,
    shell:
        "sparsenode answer-claim --claim {wildcards.claim} --long {input:q} --output {output:q} > {log:q} 2>&1"


rule answer_study:
    input:
        expand(f"{STUDY}claims/{{claim}}.csv", claim=CLAIMS),
    output:
        table=f"{STUDY}answer.csv",
        markdown=report(
            f"{STUDY}answer.md",
            caption="../report/answer.rst",
            category="Study",
            labels={"dataset": "all", "table": "the answer"},
        ),
    log:
        f"{RESULTS}logs/answer_study.log",
    benchmark:
        f"{RESULTS}benchmarks/answer_study.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        claims=lambda wildcards, input: arguments(claims=input),
        version=versions.STUDY,
    shell:
        "sparsenode answer-study {params.claims} --output {output.table:q} --markdown {output.markdown:q}"
        " > {log:q} 2>&1"


rule summarize_effects:
    input:
        f"{STUDY}long.csv.gz",
    output:
        f"{STUDY}effects.csv",
    log:
        f"{RESULTS}logs/summarize_effects.log",
    benchmark:
        f"{RESULTS}benchmarks/summarize_effects.tsv"
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        version=versions.STUDY,
    shell:
        "sparsenode summarize-effects --long {input:q} --output {output:q} > {log:q} 2>&1"


rule draw_study:
    input:
        f"{STUDY}long.csv.gz",
    output:
        pdf=f"{STUDY}figures/{{figure}}.pdf",
        png=report(
            f"{STUDY}figures/{{figure}}.png",
            caption="../report/study.rst",
            category="Study",
            labels={"dataset": "all", "figure": "{figure}"},
        ),
    log:
        f"{RESULTS}logs/draw_study/{{figure}}.log",
    benchmark:
        f"{RESULTS}benchmarks/draw_study/{{figure}}.tsv"
    wildcard_constraints:
        figure="|".join(STUDY_FIGURES),
    localrule: True
    conda:
        "../../envs/sparsenode.yaml"
    threads: 1
    params:
        font_size=config["figures"]["font_size"],
        dots_per_inch=config["figures"]["dots_per_inch"],
        version=versions.STUDY,
    shell:
        "sparsenode draw-study --figure {wildcards.figure} --long {input:q} --font-size {params.font_size}"
        " --dots-per-inch {params.dots_per_inch} --pdf {output.pdf:q} --png {output.png:q} > {log:q} 2>&1"
