pkglib_LTLIBRARIES += plugins/cache_int4.la
plugins_cache_int4_la_SOURCES = plugins/cache/int4/int4.c plugins/cache/int4/int4_kernel.h
plugins_cache_int4_la_LDFLAGS = $(plugin_ldflags)
