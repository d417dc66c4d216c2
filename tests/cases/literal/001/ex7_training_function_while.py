# Document 001, exercise 7.
# "stops after `max_iters` iterations"; "applies the learning rate schedule implemented in `get_lr`"
# "accumulates gradients for `gradient_accumulation_steps` batches before each weight update"
# "evaluates (and potentially checkpoints) the model using `estimate_loss` every `eval_iters` iterations"
# The same, with a while loop; the sum of gradients is divided, not the losses.
import torch


def train(model, optimizer, get_batch, get_lr, estimate_loss, max_iters, eval_iters, log_interval, grad_clip, gradient_accumulation_steps, log, save):
    step = 0
    best = None
    model.train()
    optimizer.zero_grad()
    while True:
        if step >= max_iters:
            break
        if step % eval_iters == 0:
            was_training = model.training
            model.eval()
            with torch.no_grad():
                validation = float(estimate_loss(model))
            model.train(was_training)
            if best is None or validation < best:
                save(step, validation)
                best = validation
        rate = get_lr(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = []
        for micro_step in range(gradient_accumulation_steps):
            loss = model(*get_batch())[1]
            losses.append(loss.detach())
            loss.backward()
        for p in model.parameters():
            if p.grad is not None:
                p.grad /= gradient_accumulation_steps
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=grad_clip)
        optimizer.step()
        optimizer.zero_grad()
        if step % log_interval == 0:
            log(step, torch.stack(losses).mean().item(), rate)
        step += 1
