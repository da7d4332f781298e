"""The files of the configuration, each read strictly before Snakemake merges them.

The base is `config.yaml` beside the Snakefile, wherever the run is started.
"""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from sparsenode.pipeline import configuration, invocation
from sparsenode.errors import UserError

CONFIGFILE = f"{workflow.basedir}/config.yaml"

if workflow.is_main_process:
    try:
        for remark in configuration.check_configuration_files(
            Path(CONFIGFILE), list(map(Path, workflow.configfiles))
        ):
            logger.warning(remark)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    repeated = invocation.repeated_option(sys.argv)
    if repeated is not None:
        raise WorkflowError(repeated)
