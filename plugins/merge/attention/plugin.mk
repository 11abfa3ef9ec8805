pkglib_LTLIBRARIES += plugins/merge_attention.la
plugins_merge_attention_la_SOURCES = plugins/merge/attention/attention.c plugins/merge/attention/attention_kernel.h
plugins_merge_attention_la_LDFLAGS = $(plugin_ldflags)
