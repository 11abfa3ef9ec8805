pkglib_LTLIBRARIES += plugins/position_alibi.la
plugins_position_alibi_la_SOURCES = plugins/position/alibi/alibi.c plugins/position/alibi/alibi_kernel.h
plugins_position_alibi_la_LDFLAGS = $(plugin_ldflags)
