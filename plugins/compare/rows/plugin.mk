pkglib_LTLIBRARIES += plugins/compare_rows.la
plugins_compare_rows_la_SOURCES = plugins/compare/rows/rows.c plugins/compare/rows/rows_kernel.h
plugins_compare_rows_la_LDFLAGS = $(plugin_ldflags)
