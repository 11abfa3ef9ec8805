pkglib_LTLIBRARIES += plugins/position_learned.la
plugins_position_learned_la_SOURCES = plugins/position/learned/learned.c plugins/position/learned/learned_kernel.h
plugins_position_learned_la_LDFLAGS = $(plugin_ldflags)
