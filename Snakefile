from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/configfiles.smk"


configfile: CONFIGFILE


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/peers.smk"
include: "workflow/rules/edges.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/interventions.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/sweeps.smk"
include: "workflow/rules/study.smk"


resource_scopes:
    gpu="local",


rule all:
    default_target: True
    input:
        all_figures(),
        all_tables(),
        all_results(),
        study_results(),
    localrule: True


onsuccess:
    tell_summary()
    tell_remarks()


onerror:
    tell_remarks()


check_targets()
