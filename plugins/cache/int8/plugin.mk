pkglib_LTLIBRARIES += plugins/cache_int8.la
plugins_cache_int8_la_SOURCES = plugins/cache/int8/int8.c plugins/cache/int8/int8_kernel.h
plugins_cache_int8_la_LDFLAGS = $(plugin_ldflags)
