/* SPDX-License-Identifier: MIT
 *
 * oracle.c: the formulas of the shipped ops, as anybody would write them (heed/oracle.h), without an entry. There is no
 * list to keep: KIND_NAME.h here is the oracle of the op KIND/NAME, in its function OF(KIND_NAME), and make writes
 * include/oracles.h from the names of the files. Other files here are shared by several of them.
 */
#include <heed/oracle.h>
#include <heed/oracle_attention.h>

typedef heed_oracle_call oracle_call;

#include "activation.h"
#include "norms.h"
#include "product.h"
#include "recurrent.h"
#include "convolution.h"
#include "relative.h"
#include "rotary.h"
#include "span.h"
#include "synthesizer.h"
#include <oracles.h>
#include "gradients.h"

#include <heed/oracle_next.h>
#ifdef ORACLE_AGAIN
#include __FILE_NAME__
#else

#include "shipped.h"

static const heed_oracle oracles[] = {
#define ORACLE_ROW HEED_ORACLE
#include <oracles.h>
};

const heed_oracle *oracle_find(const char *id)
{
    for (size_t i = 0; i < sizeof oracles / sizeof *oracles; i++)
        if (strcmp(oracles[i].id, id) == 0) return &oracles[i];
    return NULL;
}

#define ORACLE_GRADIENT(id, name)                                                                  \
    {                                                                                              \
        id, name##_gradient_f64, name##_gradient_f32                                               \
    }
static const oracle_gradient gradients[] = {
    ORACLE_GRADIENT("activation/gate", activation_gate),
    ORACLE_GRADIENT("activation/softcap", activation_softcap),
    ORACLE_GRADIENT("attention/adaptive_span", attention_span),
    ORACLE_GRADIENT("attention/dynamic_conv", attention_dynamic_conv),
    ORACLE_GRADIENT("attention/dynamic_span", attention_span),
    ORACLE_GRADIENT("attention/fast_weight", attention_fast_weight),
    ORACLE_GRADIENT("attention/flash_linear", attention_flash_linear),
    ORACLE_GRADIENT("attention/gated_delta", attention_gated_delta),
    ORACLE_GRADIENT("attention/gau", attention_gau),
    ORACLE_GRADIENT("attention/lightweight_conv", attention_lightweight_conv),
    ORACLE_GRADIENT("attention/linear", attention_linear),
    ORACLE_GRADIENT("attention/linformer", attention_linformer),
    ORACLE_GRADIENT("attention/performer", attention_performer),
    ORACLE_GRADIENT("attention/retention", attention_retention),
    ORACLE_GRADIENT("attention/shaw", attention_shaw),
    ORACLE_GRADIENT("attention/softmax", attention_softmax),
    ORACLE_GRADIENT("attention/sparse", attention_sparse),
    ORACLE_GRADIENT("attention/synthesizer_dense", synthesizer_dense),
    ORACLE_GRADIENT("attention/synthesizer_factorized_dense", synthesizer_factorized_dense),
    ORACLE_GRADIENT("attention/synthesizer_factorized_random", synthesizer_factorized_random),
    ORACLE_GRADIENT("attention/synthesizer_random", synthesizer_random),
    ORACLE_GRADIENT("attention/transformer_xl", attention_transformer_xl),
    ORACLE_GRADIENT("attention/window", attention_window),
    ORACLE_GRADIENT("embed/table", embed_table),
    ORACLE_GRADIENT("feedforward/geglu", feedforward_gelu),
    ORACLE_GRADIENT("feedforward/gelu", feedforward_gelu),
    ORACLE_GRADIENT("feedforward/relu", feedforward_relu),
    ORACLE_GRADIENT("feedforward/swiglu", feedforward_swiglu),
    ORACLE_GRADIENT("linear/projection", linear_projection),
    ORACLE_GRADIENT("loss/cross_entropy", loss_cross_entropy),
    ORACLE_GRADIENT("norm/batch", norm_batch),
    ORACLE_GRADIENT("norm/layer", norm_layer),
    ORACLE_GRADIENT("norm/rms", norm_rms),
    ORACLE_GRADIENT("position/learned", position_learned),
    {"position/rope", rope_gradient_f64, rope_gradient_f32},
    ORACLE_GRADIENT("position/sinusoidal", position_sinusoidal),
    ORACLE_GRADIENT("residual/add", residual_add),
};

const oracle_gradient *oracle_gradient_find(const char *id)
{
    for (size_t i = 0; i < sizeof gradients / sizeof *gradients; i++)
        if (strcmp(gradients[i].id, id) == 0) return &gradients[i];
    return NULL;
}
#endif
