# A right `training` in the style of hugging_face.
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
    model.zero_grad()
    best_metric = None
    tr_loss = torch.tensor(0.0)
    model.train()
    total = max_iters * gradient_accumulation_steps
    for step in range(total):
        iteration = step // gradient_accumulation_steps
        if step % gradient_accumulation_steps == 0:
            if iteration % eval_iters == 0:
                model.eval()
                metric = estimate_loss(model)
                if best_metric is None or metric < best_metric:
                    best_metric = metric
                    save(iteration, metric)
                model.train()
            for group in optimizer.param_groups:
                group["lr"] = get_lr(iteration)
        inputs, labels = get_batch()
        outputs = model(inputs, labels)
        loss = outputs[1] / gradient_accumulation_steps
        loss.backward()
        tr_loss += loss.detach()
        if (step + 1) % gradient_accumulation_steps == 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
            optimizer.step()
            model.zero_grad()
            if iteration % log_interval == 0:
                log(iteration, tr_loss.item(), optimizer.param_groups[0]["lr"])
            tr_loss -= tr_loss
