pkglib_LTLIBRARIES += plugins/attention_retention.la
plugins_attention_retention_la_SOURCES = plugins/attention/retention/retention.c \
  plugins/attention/retention/retention_kernel.h
plugins_attention_retention_la_LDFLAGS = $(plugin_ldflags)
