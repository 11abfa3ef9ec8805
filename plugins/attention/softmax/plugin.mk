pkglib_LTLIBRARIES += plugins/attention_softmax.la
plugins_attention_softmax_la_SOURCES = plugins/attention/softmax/softmax.c plugins/attention/softmax/softmax_kernel.h
plugins_attention_softmax_la_LDFLAGS = $(plugin_ldflags)
