# A right `training` in the style of nanogpt.
from contextlib import nullcontext

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
    ctx = nullcontext()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    X, Y = get_batch()  # the very first batch
    iter_num = 0
    best_val_loss = 1e9
    model.train()
    while iter_num < max_iters:
        lr = get_lr(iter_num)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr

        if iter_num % eval_iters == 0:
            model.eval()
            val_loss = estimate_loss(model)
            model.train()
            if val_loss < best_val_loss:
                best_val_loss = val_loss
                save(iter_num, val_loss)

        lossf = 0.0
        for _micro_step in range(gradient_accumulation_steps):
            with ctx:
                logits, loss = model(X, Y)
                loss = loss / gradient_accumulation_steps
            lossf += loss.item()
            X, Y = get_batch()  # while the device is busy
            scaler.scale(loss).backward()
        if grad_clip != 0.0:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

        if iter_num % log_interval == 0:
            log(iter_num, lossf, lr)
        iter_num += 1
