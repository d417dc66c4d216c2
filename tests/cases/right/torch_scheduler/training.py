# A right `training` in the style of torch_scheduler.
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
    """The rate through a LambdaLR: a base rate of 1 times get_lr."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = 1.0
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, get_lr)
    best = float("inf")
    model.train()
    for iteration in range(max_iters):
        if iteration % eval_iters == 0:
            model.eval()
            val_loss = estimate_loss(model)
            model.train()
            if val_loss < best:
                best = val_loss
                save(iteration, val_loss)
        running = 0.0
        for _ in range(gradient_accumulation_steps):
            x, y = get_batch()
            loss = model(x, y)[1] / gradient_accumulation_steps
            loss.backward()
            running += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()
        optimizer.zero_grad()
        if iteration % log_interval == 0:
            log(iteration, running, scheduler.get_last_lr()[0])
        if iteration + 1 < max_iters:
            scheduler.step()
