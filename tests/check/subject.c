/* SPDX-License-Identifier: MIT
 *
 * subject.c: what a check looks at: a call, made from a case, that the op has run once.
 */
#include <string.h>

#include "check/subject.h"

int subject_axis(const subject *s, uint32_t port, char letter)
{
    const port_axes *a = &s->entry->axes[port];
    int leading = s->c.plain[port].data ? s->c.plain[port].rank - a->count : 0;
    if (letter == 'x') return a->leading && leading > 0 ? 0 : -1;
    for (int i = 0; i < a->count; i++)
        if (a->letter[i] == letter) return leading + i;
    return -1;
}

/* Rows of the batch may depend on one another: a param says that it does so, and is not at its
 * default. */
int subject_couples(const subject *s)
{
    for (uint32_t i = 0; i < s->entry->op.params.count; i++) {
        const heed_param *p = entry_param(s->entry, i);
        if (p->flags & HEED_PARAM_COUPLES && s->c.value[i] != p->standard) return 1;
    }
    return 0;
}

static void find_entry(subject *s)
{
    s->entry = inspect_find(harness_engine(1), s->c.op->id);
}

int subject_make(subject *s, const check_case *how, heed_error *refusal)
{
    memset(s, 0, sizeof *s);
    s->how = (call_case){how->spec, how->axes, how->ports, how->dtype, how->size, how->seed};
    s->seed = how->seed * 31 + 7;
    call_make(&s->c, &s->how);
    find_entry(s);
    s->n_paths = harness_paths(s->c.op->id, s->paths);
    heed_instance *i = call_try(&s->c, s->paths[0], 1, s->c.plain, refusal);
    int32_t code = i ? HEED_OK : refusal->code;
    if (i) {
        outputs_make(&s->c, s->first);
        heed_tensor by_port[ORACLE_PORTS];
        memcpy(by_port, s->c.plain, sizeof by_port);
        for (uint32_t p = 0; p < s->c.op->ports.count; p++)
            if (s->first[p].data) by_port[p] = s->first[p];
        code = call_with(&s->c, i, by_port, NULL, refusal);
        heed_instance_close(i);
    }
    if (!code) return 1;
    if (strstr(refusal->text, "the plugin does not say why"))
        harness_fail("refuses without a sentence: %s", refusal->text);
    subject_free(s);
    return 0;
}

void subject_free(subject *s)
{
    outputs_free(s->first);
    call_free(&s->c);
}
