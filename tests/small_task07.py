"""Task 7 with a tiny preset, for test_parallel.py; with DIE_AT=N its second process is killed at epoch N, once."""

from common.exits import end_cleanly

end_cleanly(__name__)

import dataclasses
import os
import signal

import torch

import task07
from common import parallel, training

SMALL = dataclasses.replace(
    task07.PRESETS["laptop"], batch_size=16, block_size=16, n_embd=24, n_head=3, n_layer=2,
    dropout=0.0, epochs=21, eval_interval=5, eval_batches=2, warmup=2, cooldown=10, whole_split=True,
)  # fmt: skip

if __name__ == "__main__":
    task07.PRESETS = {"laptop": SMALL}
    update = training.update

    def update_or_die(model, corpus, config, optimizers, epoch, precision):
        if epoch == int(os.environ.get("DIE_AT", -1)) and parallel.rank() == 1 and not parallel.restarted():
            os.kill(os.getpid(), signal.SIGKILL)
        update(model, corpus, config, optimizers, epoch, precision)

    training.update = update_or_die
    # In float32: what bfloat16 rounds differently in halves of a batch is no question to the processes.
    training.low_precision = lambda device: torch.autocast(device.type, enabled=False)
    task07.main()
