pkglib_LTLIBRARIES += plugins/attention_fast_weight.la
plugins_attention_fast_weight_la_SOURCES = plugins/attention/fast_weight/fast_weight.c \
  plugins/attention/fast_weight/fast_weight_kernel.h
plugins_attention_fast_weight_la_LDFLAGS = $(plugin_ldflags)
