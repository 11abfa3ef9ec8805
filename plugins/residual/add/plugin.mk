pkglib_LTLIBRARIES += plugins/residual_add.la
plugins_residual_add_la_SOURCES = plugins/residual/add/add.c plugins/residual/add/add_kernel.h
plugins_residual_add_la_LDFLAGS = $(plugin_ldflags)
