/* SPDX-License-Identifier: MIT
 *
 * -ln softmax(logits)[target]; 0 where the target is -100, as torch.nn.functional.cross_entropy has it
 */
static void OF(loss_cross_entropy)(const oracle_call *c)
{
    const REAL *logits = OF(get)(c, "logits"), *targets = OF(get)(c, "targets");
    REAL *nll = OF(get)(c, "nll");
    int64_t V = AXIS('V');
    for (int64_t r = 0; r < c->rows; r++) {
        REAL max = -INFINITY, sum = 0;
        nll[r] = 0;
        if (targets[r] == -100) continue; /* skipped */
        for (int64_t i = 0; i < V; i++) max = logits[r * V + i] > max ? logits[r * V + i] : max;
        for (int64_t i = 0; i < V; i++) sum += MATH(exp)(logits[r * V + i] - max);
        nll[r] = MATH(log)(sum) + max - logits[r * V + (int64_t)targets[r]];
    }
}
