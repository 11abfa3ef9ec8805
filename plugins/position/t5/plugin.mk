pkglib_LTLIBRARIES += plugins/position_t5.la
plugins_position_t5_la_SOURCES = plugins/position/t5/t5.c plugins/position/t5/t5_kernel.h
plugins_position_t5_la_LDFLAGS = $(plugin_ldflags)
