"""A training loop, with all that a course's loop does: yours to write.

The comments are the steps. B batch (in some courses N), T time, C width, H heads of size D.

Check it: python -m check training FILE; hints: python -m check training --hint 2
"""

import torch


def train(
    model,
    optimizer,
    get_batch,
    get_lr,
    estimate_loss,
    max_iters,
    eval_iters,
    log_interval,
    grad_clip,
    gradient_accumulation_steps,
    log,
    save,
):
    """Update the model max_iters times.

    get_batch() gives x and y (N, T); model(x, y) gives logits and loss; get_lr(n) the learning rate of iteration n,
    counted from 0. One iteration accumulates the gradients of gradient_accumulation_steps batches, as of one large
    batch, clips their norm to grad_clip, and updates once.
    Every log_interval iterations, from 0: log(n, loss, learning rate), the loss of the large batch or of its last part.
    Every eval_iters iterations, from 0, before the update: estimate_loss(model) in evaluation mode, which gives the
    validation loss; where it is the lowest so far, save(n, validation loss).
    """
    # Before the loop: training mode, and no best loss yet.
    # 1. Every eval_iters iterations: evaluation mode, the validation loss, a checkpoint if it is the best so far.
    #    Question: in which mode must the model be afterwards?
    # 2. The learning rate of this iteration, for every group of the optimizer.
    # 3. The gradients of several batches, added up.
    #    Question: backward adds to what is there. By what is each loss divided?
    # 4. Clip, then update.
    #    Question: the norm of what is clipped: of each batch's gradient, or of their sum?
    # 5. Every log_interval iterations: the iteration, the loss, the learning rate.
    raise NotImplementedError("write train")
