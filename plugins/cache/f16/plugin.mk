pkglib_LTLIBRARIES += plugins/cache_f16.la
plugins_cache_f16_la_SOURCES = plugins/cache/f16/f16.c plugins/cache/f16/f16_kernel.h
plugins_cache_f16_la_LDFLAGS = $(plugin_ldflags)
