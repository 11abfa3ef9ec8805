pkglib_LTLIBRARIES += plugins/feedforward_gelu.la
plugins_feedforward_gelu_la_SOURCES = plugins/feedforward/gelu/gelu.c plugins/feedforward/gelu/gelu_kernel.h
plugins_feedforward_gelu_la_LDFLAGS = $(plugin_ldflags)
