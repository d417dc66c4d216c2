"""A training loop, with all that a course's loop does.

Sources: gradient clipping, https://arxiv.org/abs/1211.5063; the loop of nanoGPT,
https://github.com/karpathy/nanoGPT/blob/master/train.py.
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
    model.train()
    best = float("inf")
    for n in range(max_iters):
        # 1. Every eval_iters iterations: evaluation mode, the validation loss, a checkpoint if it is the best so far.
        #    Question: in which mode must the model be afterwards?
        if n % eval_iters == 0:
            model.eval()
            with torch.no_grad():
                loss = float(estimate_loss(model))
            model.train()
            if loss < best:
                best = loss
                save(n, loss)
        # 2. The learning rate of this iteration, for every group of the optimizer.
        for group in optimizer.param_groups:
            group["lr"] = get_lr(n)
        # 3. The gradients of several batches, added up.
        #    Question: backward adds to what is there. By what is each loss divided?
        optimizer.zero_grad()
        total = 0.0
        for _ in range(gradient_accumulation_steps):
            x, y = get_batch()
            _, loss = model(x, y)
            (loss / gradient_accumulation_steps).backward()
            total += loss.item() / gradient_accumulation_steps
        # 4. Clip, then update.
        #    Question: the norm of what is clipped: of each batch's gradient, or of their sum?
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()
        # 5. Every log_interval iterations: the iteration, the loss, the learning rate.
        if n % log_interval == 0:
            log(n, total, get_lr(n))
