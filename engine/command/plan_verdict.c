/* SPDX-License-Identifier: MIT
 *
 * plan_verdict.c: what a plan comes to: the law that counts, the verdict, and other shapes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "command/plan.h"

#define ALIKE 0.05 /* nats: less than the laws can tell apart */

int plan_law(const plan_network *n, uint32_t count, const plan_text *text)
{
    static const int order[LAWS] = {LAW_DATA, LAW_EPOCH, LAW_CHINCHILLA};
    if (!(text->unique > 0)) return -1;
    for (int i = 0; i < LAWS; i++) {
        uint32_t inside = 0;
        for (uint32_t k = 0; k < count; k++)
            inside +=
                !law_outside(&laws[order[i]], (double)n[k].parameters, text->unique, text->epochs);
        if (inside == count) return order[i];
    }
    return -1;
}

/* ---- the verdict ---- */

static void say_fields(FILE *out, const plan_network *n, uint32_t count, const plan_text *text)
{
    uint32_t whole = 0, differs = 0;
    for (uint32_t i = 0; i < count; i++) {
        whole += n[i].field.reach == text->tokens;
        differs |= n[i].field.reach != n[0].field.reach;
    }
    if (whole == count && count > 1)
        fprintf(out, "All of them see the whole document, so the receptive field does not decide");
    else if (whole == count) fprintf(out, "It sees the whole document");
    else if (count == 1)
        fprintf(out, "Its last token depends on %lld of the %lld tokens", (long long)n->field.reach,
                (long long)text->tokens);
    else if (!differs)
        fprintf(out,
                "The last token depends on %lld of the %lld tokens in all of them, so the "
                "receptive field does not decide",
                (long long)n->field.reach, (long long)text->tokens);
    else {
        fprintf(out, "The last token depends on");
        for (uint32_t i = 0; i < count; i++)
            fprintf(out, "%s %lld tokens in %s", i ? i + 1 < count ? "," : " and" : "",
                    (long long)n[i].field.reach, n[i].name);
    }
}

static double loss_of(const plan_network *n, int which, const plan_text *text)
{
    return law_loss(&laws[which], (double)n->parameters, text->unique, text->epochs);
}

/* Which has the lowest loss, and how far the next is behind. */
static uint32_t find_best(const plan_network *n, uint32_t count, int which, const plan_text *text,
                          double *ahead)
{
    uint32_t best = 0;
    *ahead = INFINITY;
    for (uint32_t i = 1; i < count; i++)
        if (loss_of(&n[i], which, text) < loss_of(&n[best], which, text)) best = i;
    for (uint32_t i = 0; i < count; i++)
        if (i != best)
            *ahead = fmin(*ahead, loss_of(&n[i], which, text) - loss_of(&n[best], which, text));
    return best;
}

static void say_law(FILE *out, const plan_network *n, uint32_t count, const plan_text *text)
{
    const int which = plan_law(n, count, text);
    double ahead;
    if (!(text->unique > 0)) {
        fprintf(out, "; without --data or --data-tokens no law says what a size is worth. ");
        return;
    }
    if (which < 0) {
        fprintf(out, "; no law was fitted where %s, so none is used. ",
                count == 1 ? "it lies" : "all of them lie");
        return;
    }
    const law *l = &laws[which];
    const uint32_t best = find_best(n, count, which, text, &ahead);
    if (count == 1)
        fprintf(out, "; the %s law (%s) puts its loss at %.2f nats a token. ", l->name, l->source,
                loss_of(n, which, text));
    else if (ahead < ALIKE)
        fprintf(out,
                "; the %s law (%s) puts the best two within %.2f nats a token, which it can "
                "not tell apart. ",
                l->name, l->source, ahead);
    else
        fprintf(out,
                "; by the %s law (%s) %s ends lowest, at %.2f nats a token, %.2f below the "
                "next. ",
                l->name, l->source, n[best].name, loss_of(&n[best], which, text), ahead);
}

char *plan_verdict(const plan_network *n, uint32_t count, const plan_text *text)
{
    char *verdict = NULL;
    size_t length;
    FILE *out = open_memstream(&verdict, &length);
    if (!out) return NULL;
    say_fields(out, n, count, text);
    say_law(out, n, count, text);
    fprintf(out,
            "%s, and no law knows which shape overfits these documents less, or what another "
            "corpus changes: %s.",
            plan_law(n, count, text) >= 0
                ? "That rests on the numbers of parameters and tokens alone"
                : "That rests on the specs alone",
            text->trained ? "what twins say that were trained on them stands below"
                          : "only training on them tells, as --train does");
    const int failed = ferror(out);
    if (fclose(out) || failed) free(verdict), verdict = NULL;
    return verdict;
}

/* ---- other shapes ---- */

/* A body grows with layers and the square of the width, and so of the heads. */
uint32_t plan_suggest(const plan_network *n, plan_shape shape[PLAN_SHAPES])
{
    static const double factor[] = {0.6, 1.5, 2, 3}; /* of the heads; the nearest that are others */
    const int64_t *number = n->plan.number;
    const double layers = (double)number[STACK_LAYERS], heads = (double)number[STACK_HEADS],
                 body = (double)(n->parameters - n->tables);
    uint32_t found = 0;
    for (size_t i = 0; i < sizeof factor / sizeof *factor && found < PLAN_SHAPES; i++) {
        const double h = round(heads * factor[i]), l = round(layers * heads * heads / (h * h));
        const double near = l * h * h / (layers * heads * heads);
        if (h < 1 || l < 1 || h == heads || near < 0.85 || near > 1.15) continue;
        if (found && shape[found - 1].heads == (int64_t)h) continue;
        shape[found++] =
            (plan_shape){.layers = (int64_t)l,
                         .heads = (int64_t)h,
                         .width = (int64_t)h * number[STACK_WIDTH] / number[STACK_HEADS],
                         .body = body * near};
    }
    return found;
}
