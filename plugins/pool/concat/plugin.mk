pkglib_LTLIBRARIES += plugins/pool_concat.la
plugins_pool_concat_la_SOURCES = plugins/pool/concat/concat.c plugins/pool/concat/concat_kernel.h
plugins_pool_concat_la_LDFLAGS = $(plugin_ldflags)
