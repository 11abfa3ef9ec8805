pkglib_LTLIBRARIES += plugins/norm_batch.la
plugins_norm_batch_la_SOURCES = plugins/norm/batch/batch.c plugins/norm/batch/batch_kernel.h
plugins_norm_batch_la_LDFLAGS = $(plugin_ldflags)
