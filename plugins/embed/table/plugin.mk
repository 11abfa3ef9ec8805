pkglib_LTLIBRARIES += plugins/embed_table.la
plugins_embed_table_la_SOURCES = plugins/embed/table/table.c plugins/embed/table/table_kernel.h
plugins_embed_table_la_LDFLAGS = $(plugin_ldflags)
