pkglib_LTLIBRARIES += plugins/pool_tokens.la
plugins_pool_tokens_la_SOURCES = plugins/pool/tokens/tokens.c plugins/pool/tokens/tokens_kernel.h
plugins_pool_tokens_la_LDFLAGS = $(plugin_ldflags)
