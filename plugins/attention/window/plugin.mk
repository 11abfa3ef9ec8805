pkglib_LTLIBRARIES += plugins/attention_window.la
plugins_attention_window_la_SOURCES = plugins/attention/window/window.c plugins/attention/window/window_kernel.h
plugins_attention_window_la_LDFLAGS = $(plugin_ldflags)
