"""Task 7 with a tiny preset, for test_parallel.py; with DIE_AT=N its second process is killed at step N, once."""

import os
import signal

import task07
from common import options, parallel, precision, train
from common.config import LAPTOP
from common.run import run

import torch

SMALL = LAPTOP | {"batch_size": 16, "block_size": 16, "n_embd": 24, "n_head": 3, "n_layer": 2, "dropout": 0.0}
SMALL |= {"max_steps": 21, "eval_interval": 5, "eval_batches": 2}

if __name__ == "__main__":
    task07.parse_options = lambda doc, config: options.parse_options(doc, config, {"laptop": SMALL})
    update = train.update

    def update_or_die(model, corpus, config, optimizers, step, *rest):
        if step == int(os.environ.get("DIE_AT", -1)) and parallel.rank() == 1 and not parallel.restarted():
            os.kill(os.getpid(), signal.SIGKILL)
        return update(model, corpus, config, optimizers, step, *rest)

    train.update = update_or_die
    # In float32: what bfloat16 rounds differently in halves of a batch does not depend on the processes.
    precision.product_dtype = lambda device: torch.float32
    run(task07.main)
