pkglib_LTLIBRARIES += plugins/feedforward_geglu.la
plugins_feedforward_geglu_la_SOURCES = plugins/feedforward/geglu/geglu.c plugins/feedforward/geglu/geglu_kernel.h
plugins_feedforward_geglu_la_LDFLAGS = $(plugin_ldflags)
