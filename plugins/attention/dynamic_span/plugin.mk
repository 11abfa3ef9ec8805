pkglib_LTLIBRARIES += plugins/attention_dynamic_span.la
plugins_attention_dynamic_span_la_SOURCES = plugins/attention/dynamic_span/dynamic_span.c \
  plugins/attention/dynamic_span/dynamic_span_kernel.h
plugins_attention_dynamic_span_la_LDFLAGS = $(plugin_ldflags)
