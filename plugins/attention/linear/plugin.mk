pkglib_LTLIBRARIES += plugins/attention_linear.la
plugins_attention_linear_la_SOURCES = plugins/attention/linear/linear.c plugins/attention/linear/linear_kernel.h
plugins_attention_linear_la_LDFLAGS = $(plugin_ldflags)
