pkglib_LTLIBRARIES += plugins/attention_adaptive_span.la
plugins_attention_adaptive_span_la_SOURCES = plugins/attention/adaptive_span/adaptive_span.c \
  plugins/attention/adaptive_span/adaptive_span_kernel.h
plugins_attention_adaptive_span_la_LDFLAGS = $(plugin_ldflags)
