# One stanza a plugin: KIND_NAME.so from plugins/KIND/NAME.
kitdir = $(includedir)/heed/kit
kit_HEADERS = plugins/kit/conv.h plugins/kit/flash.h plugins/kit/flash_bf16.h plugins/kit/flash_cost.h plugins/kit/flash_few.h plugins/kit/flash_many.h \
  plugins/kit/flash_mask.h plugins/kit/flash_scores.h plugins/kit/flash_op.h plugins/kit/flash_relative.h plugins/kit/flash_relative_values.h plugins/kit/flash_span.h plugins/kit/flash_span_op.h plugins/kit/flash_task.h plugins/kit/flash_type.h plugins/kit/gemm.h plugins/kit/half.h \
  plugins/kit/load.h plugins/kit/math.h plugins/kit/names.h plugins/kit/next.h plugins/kit/plugin.h plugins/kit/reduce.h \
  plugins/kit/score.h plugins/kit/score_product.h plugins/kit/sleef.h plugins/kit/synthesizer.h plugins/kit/vec_avx2.h plugins/kit/vec_avx512.h plugins/kit/vec_bf16.h plugins/kit/vec_neon.h plugins/kit/vec_scalar.h plugins/kit/vr.h
pkgconfig_DATA += plugins/heed-plugin.pc

# What heed new begins with.
templatesdir = $(pkgdatadir)/templates
dist_templates_DATA = plugins/kit/templates/Makefile plugins/kit/templates/README.md plugins/kit/templates/attention_flash.c \
  plugins/kit/templates/attention_oracle.c plugins/kit/templates/attention_plain.c plugins/kit/templates/norm.c \
  plugins/kit/templates/norm_oracle.c plugins/kit/templates/position.c plugins/kit/templates/position_oracle.c

plugin_ldflags = -module -avoid-version -shared -export-symbols-regex '^heed_plugin_v0$$'

pkglib_LTLIBRARIES += plugins/attention_softmax.la
plugins_attention_softmax_la_SOURCES = plugins/attention/softmax/softmax.c plugins/attention/softmax/softmax_kernel.h
plugins_attention_softmax_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_shaw.la
plugins_attention_shaw_la_SOURCES = plugins/attention/shaw/shaw.c plugins/attention/shaw/shaw_kernel.h
plugins_attention_shaw_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_transformer_xl.la
plugins_attention_transformer_xl_la_SOURCES = plugins/attention/transformer_xl/transformer_xl.c \
  plugins/attention/transformer_xl/transformer_xl_kernel.h
plugins_attention_transformer_xl_la_LDFLAGS = $(plugin_ldflags)
plugins_attention_transformer_xl_la_LIBADD = $(SLEEF_LIBS)
pkglib_LTLIBRARIES += plugins/attention_synthesizer_random.la
plugins_attention_synthesizer_random_la_SOURCES = plugins/attention/synthesizer_random/synthesizer_random.c \
  plugins/attention/synthesizer_random/synthesizer_random_kernel.h
plugins_attention_synthesizer_random_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_synthesizer_factorized_random.la
plugins_attention_synthesizer_factorized_random_la_SOURCES = plugins/attention/synthesizer_factorized_random/synthesizer_factorized_random.c \
  plugins/attention/synthesizer_factorized_random/synthesizer_factorized_random_kernel.h
plugins_attention_synthesizer_factorized_random_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_synthesizer_dense.la
plugins_attention_synthesizer_dense_la_SOURCES = plugins/attention/synthesizer_dense/synthesizer_dense.c \
  plugins/attention/synthesizer_dense/synthesizer_dense_kernel.h
plugins_attention_synthesizer_dense_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_synthesizer_factorized_dense.la
plugins_attention_synthesizer_factorized_dense_la_SOURCES = plugins/attention/synthesizer_factorized_dense/synthesizer_factorized_dense.c \
  plugins/attention/synthesizer_factorized_dense/synthesizer_factorized_dense_kernel.h
plugins_attention_synthesizer_factorized_dense_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_gau.la
plugins_attention_gau_la_SOURCES = plugins/attention/gau/gau.c plugins/attention/gau/gau_kernel.h
plugins_attention_gau_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/norm_batch.la
plugins_norm_batch_la_SOURCES = plugins/norm/batch/batch.c plugins/norm/batch/batch_kernel.h
plugins_norm_batch_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_synthesizer_mixture.la
plugins_attention_synthesizer_mixture_la_SOURCES = plugins/attention/synthesizer_mixture/synthesizer_mixture.c \
  plugins/attention/synthesizer_mixture/synthesizer_mixture_kernel.h
plugins_attention_synthesizer_mixture_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/merge_attention.la
plugins_merge_attention_la_SOURCES = plugins/merge/attention/attention.c plugins/merge/attention/attention_kernel.h
plugins_merge_attention_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/norm_rms.la
plugins_norm_rms_la_SOURCES = plugins/norm/rms/rms.c plugins/norm/rms/rms_kernel.h
plugins_norm_rms_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/norm_layer.la
plugins_norm_layer_la_SOURCES = plugins/norm/layer/layer.c plugins/norm/layer/layer_kernel.h
plugins_norm_layer_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/position_alibi.la
plugins_position_alibi_la_SOURCES = plugins/position/alibi/alibi.c plugins/position/alibi/alibi_kernel.h
plugins_position_alibi_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/position_rope.la
plugins_position_rope_la_SOURCES = plugins/position/rope/rope.c plugins/position/rope/rope_kernel.h
plugins_position_rope_la_LDFLAGS = $(plugin_ldflags)
plugins_position_rope_la_LIBADD = $(SLEEF_LIBS)

pkglib_LTLIBRARIES += plugins/position_sinusoidal.la
plugins_position_sinusoidal_la_SOURCES = plugins/position/sinusoidal/sinusoidal.c plugins/position/sinusoidal/sinusoidal_kernel.h
plugins_position_sinusoidal_la_LDFLAGS = $(plugin_ldflags)
plugins_position_sinusoidal_la_LIBADD = $(SLEEF_LIBS)

pkglib_LTLIBRARIES += plugins/embed_table.la
plugins_embed_table_la_SOURCES = plugins/embed/table/table.c plugins/embed/table/table_kernel.h
plugins_embed_table_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/linear_projection.la
plugins_linear_projection_la_SOURCES = plugins/linear/projection/projection.c plugins/linear/projection/projection_kernel.h
plugins_linear_projection_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/feedforward_gelu.la
plugins_feedforward_gelu_la_SOURCES = plugins/feedforward/gelu/gelu.c plugins/feedforward/gelu/gelu_kernel.h
plugins_feedforward_gelu_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/feedforward_swiglu.la
plugins_feedforward_swiglu_la_SOURCES = plugins/feedforward/swiglu/swiglu.c plugins/feedforward/swiglu/swiglu_kernel.h
plugins_feedforward_swiglu_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/residual_add.la
plugins_residual_add_la_SOURCES = plugins/residual/add/add.c plugins/residual/add/add_kernel.h
plugins_residual_add_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/sample_categorical.la
plugins_sample_categorical_la_SOURCES = plugins/sample/categorical/categorical.c plugins/sample/categorical/categorical_kernel.h
plugins_sample_categorical_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/loss_cross_entropy.la
plugins_loss_cross_entropy_la_SOURCES = plugins/loss/cross_entropy/cross_entropy.c plugins/loss/cross_entropy/cross_entropy_kernel.h
plugins_loss_cross_entropy_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_window.la
plugins_attention_window_la_SOURCES = plugins/attention/window/window.c plugins/attention/window/window_kernel.h
plugins_attention_window_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_sparse.la
plugins_attention_sparse_la_SOURCES = plugins/attention/sparse/sparse.c plugins/attention/sparse/sparse_kernel.h
plugins_attention_sparse_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_adaptive_span.la
plugins_attention_adaptive_span_la_SOURCES = plugins/attention/adaptive_span/adaptive_span.c plugins/attention/adaptive_span/adaptive_span_kernel.h
plugins_attention_adaptive_span_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_dynamic_span.la
plugins_attention_dynamic_span_la_SOURCES = plugins/attention/dynamic_span/dynamic_span.c plugins/attention/dynamic_span/dynamic_span_kernel.h
plugins_attention_dynamic_span_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/position_t5.la
plugins_position_t5_la_SOURCES = plugins/position/t5/t5.c plugins/position/t5/t5_kernel.h
plugins_position_t5_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_lightweight_conv.la
plugins_attention_lightweight_conv_la_SOURCES = plugins/attention/lightweight_conv/lightweight_conv.c \
  plugins/attention/lightweight_conv/lightweight_conv_kernel.h
plugins_attention_lightweight_conv_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_dynamic_conv.la
plugins_attention_dynamic_conv_la_SOURCES = plugins/attention/dynamic_conv/dynamic_conv.c \
  plugins/attention/dynamic_conv/dynamic_conv_kernel.h
plugins_attention_dynamic_conv_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_linformer.la
plugins_attention_linformer_la_SOURCES = plugins/attention/linformer/linformer.c \
  plugins/attention/linformer/linformer_kernel.h
plugins_attention_linformer_la_LDFLAGS = $(plugin_ldflags)

pkglib_LTLIBRARIES += plugins/attention_flash_linear.la
plugins_attention_flash_linear_la_SOURCES = plugins/attention/flash_linear/flash_linear.c \
  plugins/attention/flash_linear/flash_linear_kernel.h plugins/attention/flash_linear/flash_linear_block.h
plugins_attention_flash_linear_la_LDFLAGS = $(plugin_ldflags)
