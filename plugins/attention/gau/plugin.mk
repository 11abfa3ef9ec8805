pkglib_LTLIBRARIES += plugins/attention_gau.la
plugins_attention_gau_la_SOURCES = plugins/attention/gau/gau.c plugins/attention/gau/gau_kernel.h
plugins_attention_gau_la_LDFLAGS = $(plugin_ldflags)
