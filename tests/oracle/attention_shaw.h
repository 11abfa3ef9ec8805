/* SPDX-License-Identifier: MIT
 *
 * Relative position representations, arXiv 1803.02155, equations 3 and 4
 */
static OF(relatives) OF(shaw_relatives)(const oracle_call *c)
{
    const int64_t k = AXIS('R') / 2;
    return (OF(relatives)){.a = OF(get)(c, "relative_keys"),
                           .z = OF(get)(c, "relative_values"),
                           .low = -k,
                           .high = k,
                           .memory = -1};
}
static void OF(attention_shaw)(const oracle_call *c)
{
    const OF(relatives) r = OF(shaw_relatives)(c);
    OF(relative)(c, &r);
}
