pkglib_LTLIBRARIES += plugins/attention_sparse.la
plugins_attention_sparse_la_SOURCES = plugins/attention/sparse/sparse.c plugins/attention/sparse/sparse_kernel.h
plugins_attention_sparse_la_LDFLAGS = $(plugin_ldflags)
