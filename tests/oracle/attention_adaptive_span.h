/* SPDX-License-Identifier: MIT
 *
 * Adaptive span, arXiv 1905.07799, section 2: span.h
 */
static void OF(attention_adaptive_span)(const oracle_call *c)
{
    OF(attention_by)(c, NULL, OF(span_score));
}
