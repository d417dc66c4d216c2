# A right `training` in the style of heads_loop.
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
    best = 1000000000
    model.train()
    for i in range(0, max_iters):
        if i % eval_iters == 0:
            model.eval()
            val = estimate_loss(model)
            model.train()
            if val < best:
                best = val
                save(i, val)

        lr = get_lr(i)
        for j in range(len(optimizer.param_groups)):
            optimizer.param_groups[j]["lr"] = lr

        optimizer.zero_grad()
        all_losses = []
        for j in range(gradient_accumulation_steps):
            x, y = get_batch()
            output = model(x, y)
            all_losses.append(output[1])
        loss = sum(all_losses) / len(all_losses)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()
        if i % log_interval == 0:
            log(i, loss.item(), lr)
