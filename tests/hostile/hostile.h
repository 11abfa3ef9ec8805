/* SPDX-License-Identifier: MIT
 *
 * hostile.h: a small plugin that is right in everything, which each file of this folder spoils in one place. Written
 * without the kit, so that nothing in it is right by construction. HOSTILE(...) is the entry, with the sin in brackets.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <heed/abi/abi.h>

static int32_t measure(const heed_open *open, uint64_t *bytes)
{
    (void)open;
    *bytes = 64;
    return HEED_OK;
}

static int32_t init(void *memory, const heed_open *open)
{
    (void)memory, (void)open;
    return HEED_OK;
}

static int32_t forward(const void *instance, const heed_call *call)
{
    (void)instance, (void)call;
    return HEED_OK;
}

static heed_port ports[] = {
    {sizeof(heed_port), HEED_INPUT, 0, HEED_BIT(HEED_F32), 0, 0, "x", "... M", "what is copied"},
    {sizeof(heed_port), HEED_OUTPUT, 0, HEED_BIT(HEED_F32), 0, 0, "out", "... M", "x"},
};
static heed_param params[] = {
    {sizeof(heed_param), HEED_PARAM_FLOAT, 0, 0, 0, 1, 0.5, "eps", 0, "a number"},
};
static heed_path paths[] = {
    {sizeof(heed_path), 0, 0, "scalar", forward, 0},
};
static heed_op ops[] = {
    {.size = sizeof(heed_op), .id = "norm/hostile", .version = "1.0", .summary = "copies x", .formula = "out = x",
     .reference = "none", .ports = {ports, 2, sizeof *ports}, .params = {params, 1, sizeof *params},
     .paths = {paths, 1, sizeof *paths}, .measure = measure, .init = init},
    {.size = sizeof(heed_op), .id = "norm/hostile2", .version = "1.0", .summary = "copies x", .formula = "out = x",
     .reference = "none", .ports = {ports, 2, sizeof *ports}, .params = {params, 1, sizeof *params},
     .paths = {paths, 1, sizeof *paths}, .measure = measure, .init = init},
};

#define HOSTILE(...)                                                                                                  \
    __attribute__((visibility("default"))) int32_t heed_plugin_v0(const heed_offer *offer, heed_reply *reply);        \
    int32_t heed_plugin_v0(const heed_offer *offer, heed_reply *reply)                                                \
    {                                                                                                                 \
        if (HEED_ABI_VERSION < offer->abi_min || HEED_ABI_VERSION > offer->abi_max) return HEED_E_ABI;                \
        reply->abi = HEED_ABI_VERSION;                                                                                \
        reply->name = "hostile";                                                                                      \
        reply->licence = "MIT";                                                                                       \
        reply->ops = (heed_table){ops, 2, sizeof *ops};                                                               \
        __VA_ARGS__;                                                                                                  \
        return HEED_OK;                                                                                               \
    }

#endif
