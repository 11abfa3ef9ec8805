pkglib_LTLIBRARIES += plugins/norm_rms.la
plugins_norm_rms_la_SOURCES = plugins/norm/rms/rms.c plugins/norm/rms/rms_kernel.h
plugins_norm_rms_la_LDFLAGS = $(plugin_ldflags)
