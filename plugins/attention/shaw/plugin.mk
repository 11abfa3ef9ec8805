pkglib_LTLIBRARIES += plugins/attention_shaw.la
plugins_attention_shaw_la_SOURCES = plugins/attention/shaw/shaw.c plugins/attention/shaw/shaw_kernel.h
plugins_attention_shaw_la_LDFLAGS = $(plugin_ldflags)
