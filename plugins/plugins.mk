# The kit's headers, the templates of heed new, and a line for each plugin: KIND_NAME.so from plugins/KIND/NAME/.
kitdir = $(includedir)/heed/kit
kit_HEADERS = plugins/kit/next.h
kit_cachedir = $(kitdir)/cache
kit_cache_HEADERS = plugins/kit/cache/halves.h plugins/kit/cache/rows.h
kit_convdir = $(kitdir)/conv
kit_conv_HEADERS = plugins/kit/conv/backward.h plugins/kit/conv/conv.h plugins/kit/conv/field.h
kit_coredir = $(kitdir)/core
kit_core_HEADERS = plugins/kit/core/base.h plugins/kit/core/blocks.h plugins/kit/core/field.h plugins/kit/core/grad.h \
  plugins/kit/core/half.h plugins/kit/core/load.h plugins/kit/core/math.h \
  plugins/kit/core/names.h plugins/kit/core/path.h \
  plugins/kit/core/plugin.h plugins/kit/core/sleef.h plugins/kit/core/vec.h \
  plugins/kit/core/vec_avx2.h plugins/kit/core/vec_avx512.h plugins/kit/core/vec_bf16.h \
  plugins/kit/core/vec_neon.h plugins/kit/core/vec_scalar.h plugins/kit/core/vr.h
kit_flashdir = $(kitdir)/flash
kit_flash_HEADERS = plugins/kit/flash/backward.h plugins/kit/flash/bf16.h \
  plugins/kit/flash/block.h plugins/kit/flash/cost.h \
  plugins/kit/flash/few.h plugins/kit/flash/flash.h plugins/kit/flash/hooks.h \
  plugins/kit/flash/lists.h plugins/kit/flash/many.h plugins/kit/flash/mask.h \
  plugins/kit/flash/op.h plugins/kit/flash/partial.h plugins/kit/flash/relative.h \
  plugins/kit/flash/relative_backward.h plugins/kit/flash/relative_values.h \
  plugins/kit/flash/scores.h plugins/kit/flash/shared.h plugins/kit/flash/span.h \
  plugins/kit/flash/span_backward.h plugins/kit/flash/span_field.h \
  plugins/kit/flash/span_op.h plugins/kit/flash/spans.h \
  plugins/kit/flash/task.h plugins/kit/flash/type.h \
  plugins/kit/flash/unit_backward.h
kit_gemmdir = $(kitdir)/gemm
kit_gemm_HEADERS = plugins/kit/gemm/backward.h plugins/kit/gemm/feedforward.h \
  plugins/kit/gemm/feedforward_backward.h plugins/kit/gemm/gemm.h plugins/kit/gemm/rows.h plugins/kit/gemm/stored.h
kit_lineardir = $(kitdir)/linear
kit_linear_HEADERS = plugins/kit/linear/backward.h plugins/kit/linear/backward_hooks.h \
  plugins/kit/linear/backward_tile.h plugins/kit/linear/chunk.h plugins/kit/linear/features.h \
  plugins/kit/linear/hooks.h plugins/kit/linear/linear.h plugins/kit/linear/op.h \
  plugins/kit/linear/relay.h plugins/kit/linear/run.h \
  plugins/kit/linear/tile.h plugins/kit/linear/type.h
kit_positiondir = $(kitdir)/position
kit_position_HEADERS = plugins/kit/position/rotary.h
kit_reducedir = $(kitdir)/reduce
kit_reduce_HEADERS = plugins/kit/reduce/backward.h plugins/kit/reduce/blocks.h \
  plugins/kit/reduce/pool.h plugins/kit/reduce/reduce.h
kit_scoredir = $(kitdir)/score
kit_score_HEADERS = plugins/kit/score/product.h plugins/kit/score/product_backward.h plugins/kit/score/score.h \
  plugins/kit/score/synthesizer.h plugins/kit/score/synthesizer_backward.h
pkgconfig_DATA += plugins/heed-plugin.pc

# What heed new begins with.
templatesdir = $(pkgdatadir)/templates
dist_templates_DATA = plugins/kit/templates/Makefile plugins/kit/templates/README.md plugins/kit/templates/attention_flash.c \
  plugins/kit/templates/attention_linear.c \
  plugins/kit/templates/attention_linear_oracle.c \
  plugins/kit/templates/attention_oracle.c plugins/kit/templates/attention_plain.c \
  plugins/kit/templates/cache.c plugins/kit/templates/norm.c \
  plugins/kit/templates/norm_oracle.c plugins/kit/templates/position.c plugins/kit/templates/position_oracle.c

EXTRA_DIST += plugins/adopt
plugin_ldflags = -module -avoid-version -shared -export-symbols-regex '^heed_plugin_v0$$'

include plugins/activation/gate/plugin.mk
include plugins/activation/softcap/plugin.mk
include plugins/attention/adaptive_span/plugin.mk
include plugins/attention/dynamic_conv/plugin.mk
include plugins/attention/dynamic_span/plugin.mk
include plugins/attention/fast_weight/plugin.mk
include plugins/attention/flash_linear/plugin.mk
include plugins/attention/gated_delta/plugin.mk
include plugins/attention/gau/plugin.mk
include plugins/attention/lightweight_conv/plugin.mk
include plugins/attention/linear/plugin.mk
include plugins/attention/linformer/plugin.mk
include plugins/attention/performer/plugin.mk
include plugins/attention/retention/plugin.mk
include plugins/attention/shaw/plugin.mk
include plugins/attention/softmax/plugin.mk
include plugins/attention/sparse/plugin.mk
include plugins/attention/synthesizer_dense/plugin.mk
include plugins/attention/synthesizer_factorized_dense/plugin.mk
include plugins/attention/synthesizer_factorized_random/plugin.mk
include plugins/attention/synthesizer_mixture/plugin.mk
include plugins/attention/synthesizer_random/plugin.mk
include plugins/attention/transformer_xl/plugin.mk
include plugins/attention/window/plugin.mk
include plugins/cache/bf16/plugin.mk
include plugins/cache/f16/plugin.mk
include plugins/cache/int4/plugin.mk
include plugins/cache/int8/plugin.mk
include plugins/compare/rows/plugin.mk
include plugins/convolution/short/plugin.mk
include plugins/embed/table/plugin.mk
include plugins/feedforward/geglu/plugin.mk
include plugins/feedforward/gelu/plugin.mk
include plugins/feedforward/relu/plugin.mk
include plugins/feedforward/swiglu/plugin.mk
include plugins/halting/act/plugin.mk
include plugins/linear/projection/plugin.mk
include plugins/loss/cross_entropy/plugin.mk
include plugins/merge/attention/plugin.mk
include plugins/norm/batch/plugin.mk
include plugins/norm/layer/plugin.mk
include plugins/norm/rms/plugin.mk
include plugins/pool/concat/plugin.mk
include plugins/pool/tokens/plugin.mk
include plugins/position/alibi/plugin.mk
include plugins/position/learned/plugin.mk
include plugins/position/rope/plugin.mk
include plugins/position/sinusoidal/plugin.mk
include plugins/position/t5/plugin.mk
include plugins/residual/add/plugin.mk
include plugins/residual/share/plugin.mk
include plugins/router/top_k/plugin.mk
include plugins/sample/categorical/plugin.mk
include plugins/transport/mpi/plugin.mk
