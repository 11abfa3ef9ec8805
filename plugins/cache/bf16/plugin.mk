pkglib_LTLIBRARIES += plugins/cache_bf16.la
plugins_cache_bf16_la_SOURCES = plugins/cache/bf16/bf16.c plugins/cache/bf16/bf16_kernel.h
plugins_cache_bf16_la_LDFLAGS = $(plugin_ldflags)
