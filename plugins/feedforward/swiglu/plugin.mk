pkglib_LTLIBRARIES += plugins/feedforward_swiglu.la
plugins_feedforward_swiglu_la_SOURCES = plugins/feedforward/swiglu/swiglu.c plugins/feedforward/swiglu/swiglu_kernel.h
plugins_feedforward_swiglu_la_LDFLAGS = $(plugin_ldflags)
