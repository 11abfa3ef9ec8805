pkglib_LTLIBRARIES += plugins/router_top_k.la
plugins_router_top_k_la_SOURCES = plugins/router/top_k/top_k.c plugins/router/top_k/top_k_kernel.h
plugins_router_top_k_la_LDFLAGS = $(plugin_ldflags)
