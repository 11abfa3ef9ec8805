pkglib_LTLIBRARIES += plugins/attention_gated_delta.la
plugins_attention_gated_delta_la_SOURCES = plugins/attention/gated_delta/gated_delta.c \
  plugins/attention/gated_delta/gated_delta_kernel.h
plugins_attention_gated_delta_la_LDFLAGS = $(plugin_ldflags)
